//! The guide for administrators, as it stands in `docs/guide`, embedded and made to pages.

use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use crate::layout::{Answer, Page, show};
use crate::problem::Problem;
use crate::visit::{Console, Visit};

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new().route("/guide", get(contents)).route("/guide/{chapter}", get(chapter))
}

/// One chapter.
struct Chapter {
    name: &'static str,
    title: String,
    body: String,
}

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../docs/guide/", $name, ".md")))),*]
    };
}

/// The chapters in the order of the contents, which come first.
static SOURCES: [(&str, &str); 26] = sources![
    "README",
    "first-steps",
    "let-a-device-relay",
    "coming-from-exchange",
    "from-exchange-2003",
    "narrow-a-gate",
    "recipients",
    "prove-that-you-are-no-open-relay",
    "why-was-it-refused",
    "servers-and-partners",
    "header-firewall",
    "routing",
    "send-through-a-provider",
    "console",
    "shell",
    "automation",
    "settings",
    "administrators",
    "run-as-a-service",
    "monitoring",
    "tracing",
    "queue",
    "reports",
    "rewriting",
    "back-up-move-upgrade",
    "durability",
];

static CHAPTERS: LazyLock<Vec<Chapter>> =
    LazyLock::new(|| SOURCES.iter().map(|(name, source)| render(name, source)).collect());

/// A chapter as a page: without its first heading, which the page has; with places to link to at the others; links between
/// chapters lead to pages. HTML within the text is text, but for places to link to.
fn render(name: &'static str, source: &str) -> Chapter {
    let mut title = String::new();
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut heading: Option<(usize, String)> = None;
    let mut is_title = false;
    let mut is_picture = false;
    let mut is_in_place = false;
    for event in Parser::new_ext(source, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { level: pulldown_cmark::HeadingLevel::H1, .. }) if title.is_empty() => {
                is_title = true
            }
            Event::End(TagEnd::Heading(pulldown_cmark::HeadingLevel::H1)) if is_title => is_title = false,
            Event::Text(text) | Event::Code(text) if is_title => title.push_str(&text),
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                heading = Some((events.len(), String::new()));
                events.push(Event::Start(Tag::Heading { level, id: None, classes, attrs }));
            }
            Event::End(TagEnd::Heading(level)) => {
                if let Some((at, text)) = heading.take()
                    && let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(at)
                {
                    *id = Some(CowStr::from(anchor(&text)));
                }
                events.push(Event::End(TagEnd::Heading(level)));
            }
            // Pictures are of these very pages.
            Event::Start(Tag::Image { .. }) => is_picture = true,
            Event::End(TagEnd::Image) => is_picture = false,
            _ if is_picture => {}
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = CowStr::from(address(&dest_url));
                events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            // An anchor is a place to link to.
            Event::InlineHtml(tag) if is_place(&tag) || (is_in_place && &*tag == "</a>") => {
                is_in_place = !is_in_place;
                events.push(Event::InlineHtml(tag));
            }
            Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
            event => {
                if let (Some((_, heading)), Event::Text(text) | Event::Code(text)) = (&mut heading, &event) {
                    heading.push_str(text);
                }
                events.push(event);
            }
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    // Tables and lines of code may be wider than a phone, and are scrolled by the keyboard, too.
    let body = body
        .replace("<th></th>", "<td></td>")
        .replace("<pre>", "<pre tabindex=\"0\">")
        .replace("<table>", "<div class=\"scroll\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>");
    Chapter { name, title, body }
}

/// The place of a heading, as GitHub calls it.
fn anchor(text: &str) -> String {
    let letters = text.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || matches!(letter, '-' | '_') => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    letters.collect()
}

/// Whether this begins a place to link to, and nothing else.
fn is_place(tag: &str) -> bool {
    let name = tag.strip_prefix("<a id=\"").and_then(|tag| tag.strip_suffix("\">"));
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

/// Where a link leads from a page: chapters are pages, other files of the repository are named without a link to nowhere.
fn address(link: &str) -> String {
    let (file, place) = link.split_once('#').map_or((link, String::new()), |(file, place)| (file, format!("#{place}")));
    match file.strip_suffix(".md") {
        Some("README") => format!("/guide{place}"),
        Some(name) if SOURCES.iter().any(|(known, _)| *known == name) => format!("/guide/{name}{place}"),
        Some(_) => "/guide".to_owned(),
        None if link.starts_with('#') || link.contains("://") || link.starts_with("mailto:") => link.to_owned(),
        None => "/guide".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "guide.html")]
struct Shown {
    page: Page,
    chapter: &'static Chapter,
    chapters: &'static [Chapter],
}

async fn contents(visit: Visit) -> Answer {
    show_chapter(visit, "README")
}

async fn chapter(visit: Visit, Path(name): Path<String>) -> Answer {
    show_chapter(visit, &name)
}

fn show_chapter(visit: Visit, name: &str) -> Answer {
    let Some(chapter) = CHAPTERS.iter().find(|chapter| chapter.name == name) else {
        return Err(Problem::refused(
            StatusCode::NOT_FOUND,
            "The guide has no such chapter: its contents are at /guide.",
        ));
    };
    show(&Shown { page: Page::new(visit, "/guide", chapter.title.clone()), chapter, chapters: &CHAPTERS[1..] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chapter_is_a_page_whose_links_lead_somewhere() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide");
        let there = std::fs::read_dir(folder).expect("the guide").flatten();
        let names = there.filter_map(|file| file.file_name().to_str()?.strip_suffix(".md").map(str::to_owned));
        for name in names {
            assert!(SOURCES.iter().any(|(known, _)| *known == name), "{name} is no page");
        }
        for chapter in CHAPTERS.iter() {
            assert!(!chapter.title.is_empty() && !chapter.body.contains("<h1"), "{}", chapter.name);
            assert!(chapter.body.len() < 90 * 1024, "{} has {} bytes", chapter.name, chapter.body.len());
            for link in chapter.body.split("href=\"").skip(1) {
                let link = link.split('"').next().unwrap_or_default();
                let (path, place) = link.split_once('#').unwrap_or((link, ""));
                let Some(name) = path.strip_prefix("/guide") else { continue };
                let name = if name.is_empty() { "README" } else { name.trim_start_matches('/') };
                let leads_to = CHAPTERS.iter().find(|chapter| chapter.name == name).expect("a chapter");
                let id = format!("id=\"{place}\"");
                assert!(place.is_empty() || leads_to.body.contains(&id), "{}: {link}", chapter.name);
            }
        }
    }

    #[test]
    fn html_in_the_text_is_text() {
        let chapter = render("x", "# T <b>\n\n<script>alert(1)</script>\n\nsee <i>this</i> [a](settings.md#server)\n");
        assert!(!chapter.body.contains("<script") && !chapter.body.contains("<i>"), "{}", chapter.body);
        assert!(chapter.body.contains("href=\"/guide/settings#server\""));
        for (html, is_kept) in
            [("<a id=\"place_1\"></a>", true), ("<a id=\"x\" onclick=\"y\"></a>", false), ("<b>", false)]
        {
            let body = render("x", &format!("# T\n\n{html}\n## A\n")).body;
            assert_eq!(body.contains(html), is_kept, "{body}");
        }
    }
}
