//! Every page that somebody can come to by links: nothing is wrong with it in the browser, on either screen and in either theme,
//! without scripts, and for those who may only look.

use std::collections::{BTreeSet, HashSet, VecDeque};

use gatepost_testkit::browser::{Browser, DESK, PHONE, Theme};
use gatepost_testkit::programs::Swaks;
use serde_json::{Value, json};

use super::{Console, axe, request, target};
use crate::site::{CONTOSO, HOST_2, HOST_3, OPEN_TO_TESTS, RELAY, message, to_sink};

/// Largest document of a page, uncompressed, and largest sum of all that a first visit fetches besides, compressed; in bytes.
const PAGE_BYTES_MAX: u64 = 100 * 1024;
const ASSET_BYTES_MAX: u64 = 100 * 1024;

/// More pages are pages with links to themselves, or a mistake in [`shape`].
const PAGES_MAX: usize = 120;

/// What would tell that a text from outside was taken for a part of the page.
pub(super) const HOSTILE: &str = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>";

/// A server with something on every page: connectors, mail that waits and mail that was refused, with hostile texts in it.
pub(super) fn furnished() -> Console {
    // Nobody listens there: what is for others waits.
    let nowhere = to_sink("[127.0.0.1]:1");
    let console = Console::start(&[CONTOSO, OPEN_TO_TESTS, RELAY, &nowhere]);
    let smtp = console.site.smtp();
    let content = format!("From: \"{HOSTILE}\" <app@contoso.com>\r\nSubject: {HOSTILE}\r\n\r\nText.\r\n");
    Swaks::new(HOST_3, smtp)
        .from("app@contoso.com")
        .to("bob@contoso.com,someone@example.net")
        .content(&content)
        .run()
        .expect_taken();
    // Neither a name nor a quoted local part (RFC 5321 section 4.1.2) has to be what it looks like.
    let script = HOSTILE.split("<img").next().unwrap_or_default();
    for (helo, sender) in [(script, "app@contoso.com"), ("scanner.contoso.com", &format!("\"{script}\"@contoso.com"))] {
        let refused = Swaks::new(HOST_2, smtp).option(&["--helo", helo]).from(sender).to("nobody@contoso.com");
        assert_ne!(refused.run().code, 0);
    }
    console.sign_in("carol");
    console
}

/// What pages have in common that are made alike: their address without what names a thing or a moment.
fn shape(address: &str) -> String {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    if path.starts_with("/guide/") {
        return "a chapter".to_owned();
    }
    let is_word = |part: &str| part.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    let path: Vec<&str> = path.split('/').map(|part| if is_word(part) { part } else { "*" }).collect();
    let tab = query.split('&').find(|field| field.starts_with("tab=")).unwrap_or_default();
    format!("{} {tab}", path.join("/"))
}

/// Goes to every page that links lead to, one of each shape; `look` is asked at each.
#[track_caller]
pub(super) fn visit_all(console: &Console, mut look: impl FnMut(&str)) -> Vec<String> {
    let links = "return [...document.querySelectorAll('a[href]')]
        .filter(link => link.origin === location.origin && !link.hasAttribute('download'))
        .map(link => link.pathname + link.search)";
    let mut waiting = VecDeque::from(["/".to_owned()]);
    let mut known = HashSet::from([shape("/")]);
    let mut visited = Vec::new();
    while let Some(page) = waiting.pop_front() {
        assert!(visited.len() < PAGES_MAX, "too many pages: {visited:#?}");
        console.open(&page);
        let found = console.browser.run(links, json!([]));
        for link in found.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if known.insert(shape(link)) {
                waiting.push_back(link.to_owned());
            }
        }
        look(&page);
        visited.push(page);
    }
    visited
}

/// What the console lists on its side.
#[track_caller]
fn navigation(console: &Console) -> Vec<String> {
    console.open("/");
    let links = "return [...document.querySelectorAll('nav.areas a')].map(link => link.pathname)";
    let links = console.browser.run(links, json!([]));
    links.as_array().into_iter().flatten().filter_map(|link| link.as_str().map(str::to_owned)).collect()
}

/// The status of the page, how many headings it has, what the first says, and whether a text of somebody else has run.
///
/// A page that says why something cannot be done has a status of its own, and is as good as another.
const STATE: &str = "const headings = document.querySelectorAll('h1');
    const status = performance.getEntriesByType('navigation')[0].responseStatus;
    const says_why = status === 422 && document.querySelector('main [role=alert]');
    return [says_why ? 200 : status, headings.length,
        headings[0] ? headings[0].innerText.trim() : '', window.hacked === undefined]";

fn picture(browser: &Browser, page: &str, theme: Theme, width: u32) {
    if std::env::var_os("GATEPOST_SCREENSHOTS").is_none() {
        return;
    }
    let name = match page.trim_matches('/') {
        "" => "overview".to_owned(),
        page => page.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"),
    };
    browser.picture(&target("screenshots").join(format!("{name}-{}-{width}.png", theme.name())));
}

/// Everything that is wrong with the page that the browser shows.
fn look_closely(browser: &Browser, page: &str, status: u16) -> Vec<String> {
    let mut wrong = Vec::new();
    let state = browser.run(STATE, json!([]));
    if state[0] != status || state[1] != 1 || state[2] == "" || state[3] != true {
        wrong.push(format!("status, headings, heading, no script of others: {state}"));
    }
    let (bytes, _) = browser.weight();
    if bytes > PAGE_BYTES_MAX {
        wrong.push(format!("{bytes} bytes"));
    }
    let source = browser.source();
    let secrets = ["$argon2", super::PASSWORD].into_iter().filter(|secret| source.contains(secret));
    wrong.extend(secrets.map(|secret| format!("shows {secret}")));
    wrong.extend(browser.barriers(&axe(), &[]));
    picture(browser, page, Theme::Light, DESK.width);
    browser.prefer(Theme::Dark);
    let barriers = browser.barriers(&axe(), &["color-contrast"]);
    wrong.extend(barriers.iter().map(|barrier| format!("in the dark: {barrier}")));
    picture(browser, page, Theme::Dark, DESK.width);
    browser.show_on(PHONE);
    let (pixels, out) = browser.overflow();
    if pixels > 0 {
        wrong.push(format!("{pixels} pixels wider than a phone: {out:#?}"));
    }
    picture(browser, page, Theme::Dark, PHONE.width);
    browser.prefer(Theme::Light);
    let barriers = browser.barriers(&axe(), &[]);
    wrong.extend(barriers.iter().map(|barrier| format!("on a phone: {barrier}")));
    wrong.extend(unlabelled(browser).into_iter().map(|cell| format!("on a phone nobody knows what this is: {cell}")));
    picture(browser, page, Theme::Light, PHONE.width);
    browser.show_on(DESK);
    // The status of the page itself is what the console tells where it is not a success.
    let statuses = [status, 422]
        .map(|status| format!("{page} - Failed to load resource: the server responded with a status of {status}"));
    let is_status = |complaint: &String| statuses.iter().any(|status| complaint.contains(status));
    let complaints = browser.complaints().into_iter().filter(|complaint| !is_status(complaint));
    wrong.extend(complaints.map(|complaint| format!("console: {complaint}")));
    wrong.into_iter().map(|wrong| format!("{page}: {wrong}")).collect()
}

/// Values of tables that are cards now, and do not say what they are, although their column does.
fn unlabelled(browser: &Browser) -> Vec<String> {
    let script = "return [...document.querySelectorAll('.scroll tbody td')]
        .filter(cell => cell.innerText.trim() && !cell.querySelector('button, input'))
        .filter(cell => cell.closest('table').tHead.rows[0].cells[cell.cellIndex].textContent.trim())
        .filter(cell => getComputedStyle(cell, '::before').content === 'none')
        .map(cell => cell.outerHTML.slice(0, 160))";
    let found = browser.run(script, json!([]));
    found.as_array().into_iter().flatten().filter_map(|cell| cell.as_str().map(str::to_owned)).collect()
}

#[test]
fn every_page_is_sound_on_both_screens_and_in_both_themes() {
    let console = furnished();
    let browser = &console.browser;
    console.open("/");
    let (_, assets) = browser.weight();
    assert!((1..=ASSET_BYTES_MAX).contains(&assets), "{assets} bytes besides the page");
    let navigation = navigation(&console);
    let mut wrong = Vec::new();
    let visited = visit_all(&console, |page| wrong.extend(look_closely(browser, page, 200)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for page in navigation {
        assert!(visited.contains(&page), "{page} is in the navigation, but not among {visited:?}");
    }
}

#[test]
fn pages_of_strangers_and_of_mistakes_are_sound_too() {
    let console = Console::start(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    let mut wrong = Vec::new();
    for page in ["/sign-in", "/first-visit"] {
        console.open(page);
        wrong.extend(look_closely(browser, page, 200));
    }
    console.add_administrator("victor", &["View"]);
    console.sign_in("victor");
    for (page, status, said) in
        [("/no-such-page", 404, "choose one in the navigation"), ("/send-connectors/new", 403, "TransportAdmin")]
    {
        console.open(page);
        wrong.extend(look_closely(browser, page, status));
        assert!(browser.has("nav.areas a[href='/queues']") && browser.text("main").contains(said), "{page}");
        assert!(!browser.has("main form"), "{page}");
    }
    browser.follow("To the overview");
    browser.wait_for("nav.areas");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A slash too many leads to the page, and two lead to no other host.
    console.open("/queues/?shown=1");
    assert!(browser.url().ends_with("/queues?shown=1"), "{}", browser.url());
    let answered = request(console.door(), "GET", "//evil.example/", &[("Cookie", &console.cookie())], "");
    assert_eq!(answered.status, 404, "{}", answered.head);
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// Steps from one thing to the next by the keyboard alone until it is at the one that is called so: everything that is stepped on
/// is in sight and is marked.
#[track_caller]
fn step_to(browser: &Browser, name: &str) {
    const STEPS_MAX: usize = 120;
    let script = "const node = document.activeElement, place = node.getBoundingClientRect(), look = getComputedStyle(node);
        const named = node.getAttribute('aria-label') || (node.labels && node.labels[0] && node.labels[0].innerText)
            || node.innerText || node.id;
        const seen = place.bottom > 0 && place.top < innerHeight && place.right > 0 && place.left < innerWidth;
        return [named.trim(), seen, node.matches(':focus-visible') && look.outlineStyle !== 'none', node.outerHTML.slice(0, 200)]";
    let mut passed = Vec::new();
    for _ in 0..STEPS_MAX {
        browser.keys(TAB);
        let at = browser.run(script, json!([]));
        // Behind the last thing is the browser itself, and then the first.
        if at[3].as_str().is_some_and(|html| html.starts_with("<body")) {
            continue;
        }
        assert!(at[1] == true && at[2] == true, "in sight, marked: {at}");
        let named = at[0].as_str().unwrap_or_default().to_owned();
        if named.starts_with(name) {
            return;
        }
        passed.push(named);
    }
    panic!("{name:?} is not among {passed:#?} of {}", browser.url());
}

#[test]
fn the_keyboard_leads_past_the_navigation_to_the_content() {
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS]);
    let browser = &console.browser;
    console.open("/");
    step_to(browser, "To the content");
    browser.keys(ENTER);
    assert_eq!(browser.run("return document.activeElement.id", json!([])), "main");
    // On a phone the menu is opened and closed.
    browser.show_on(PHONE);
    let is_open = || browser.run("return document.querySelector('details.menu').open", json!([]));
    step_to(browser, "Menu");
    browser.keys(ENTER);
    assert_eq!(is_open(), true);
    step_to(browser, "Queues");
    browser.keys(ESCAPE);
    assert_eq!(is_open(), false);
    assert_eq!(browser.run("return document.activeElement.innerText", json!([])), "Menu");
}

#[test]
fn signing_in_a_form_and_a_list_need_no_mouse() {
    let nowhere = to_sink("[127.0.0.1]:1");
    let console = Console::start(&[CONTOSO, OPEN_TO_TESTS, &nowhere]);
    let browser = &console.browser;
    let mut client = console.site.client(HOST_3);
    assert_eq!(client.submit("<app@contoso.com>", &["someone@example.net"], &message("waits", "Text.")).code(), 250);

    console.open("/sign-in");
    // The first field has the focus.
    browser.keys("carol");
    step_to(browser, "Password");
    browser.keys(&format!("{}{ENTER}", super::PASSWORD));
    browser.wait_for("nav.areas");

    step_to(browser, "Explain");
    browser.keys(ENTER);
    browser.wait_for_url("/explain");
    step_to(browser, "Peer");
    browser.keys("127.0.0.3");
    step_to(browser, "Recipient");
    browser.keys("bob@contoso.com");
    step_to(browser, "Explain");
    browser.keys(ENTER);
    browser.wait_for("[role=status]");

    console.open("/queues");
    browser.wait_for_text("[127.0.0.1]:1");
    step_to(browser, "Queue ");
    browser.keys(" ");
    step_to(browser, "Suspend");
    browser.keys(ENTER);
    browser.wait_for_text("Suspended");
    step_to(browser, "[127.0.0.1]:1");
    browser.keys(ENTER);
    browser.wait_for_url("/queues/messages");
    console.expect_no_complaints();
}

#[test]
fn every_page_can_be_read_without_scripts() {
    let console = furnished();
    let browser = &console.browser;
    browser.allow_scripts(false);
    let mut wrong = Vec::new();
    let visited = visit_all(&console, |page| {
        let state = browser.run(STATE, json!([]));
        let text = browser.text("main");
        if state[0] != 200 || state[1] != 1 || text.trim().lines().count() < 2 {
            wrong.push(format!("{page}: {state} {text}"));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(visited.len() >= navigation(&console).len());
}

#[test]
fn who_may_only_look_finds_no_button_that_changes_anything_and_is_refused_without_one() {
    let console = furnished();
    let browser = &console.browser;
    let actions = "return [...document.querySelectorAll('form[method=post]:has(button, input[type=submit])')]
        .map(form => new URL(form.getAttribute('action') || '', location.href).pathname)";
    let actions_now = || -> BTreeSet<String> {
        let found = browser.run(actions, json!([]));
        found.as_array().into_iter().flatten().filter_map(|action| action.as_str().map(str::to_owned)).collect()
    };
    let mut all = BTreeSet::new();
    visit_all(&console, |_| all.extend(actions_now()));
    console.add_administrator("victor", &["View"]);
    browser.forget_cookies();
    console.sign_in("victor");
    let mut own = BTreeSet::new();
    visit_all(&console, |_| own.extend(actions_now()));
    // What everybody does for themselves.
    let is_everybodys = |action: &&String| {
        ["theme", "sign-out", "account"].contains(&action[1..].split('/').next().unwrap_or_default())
    };
    let others: Vec<_> = own.iter().filter(|action| !is_everybodys(action)).collect();
    assert!(others.is_empty() && own.len() >= 2, "{own:?}");
    console.open("/");
    let (cookie, proof) = (console.cookie(), console.proof());
    let mut let_in = Vec::new();
    for action in all.iter().filter(|action| !is_everybodys(action)) {
        let answered = request(console.door(), "POST", action, &[("Cookie", &cookie)], &format!("proof={proof}"));
        if answered.status != 403 {
            let_in.push(format!("{action}: {}", answered.status));
        }
    }
    assert!(let_in.is_empty(), "{}", let_in.join("\n"));
}

/// Every page that a role's links lead to, by requests alone: its address and text. One of each shape.
fn read_all(console: &Console, cookie: &str) -> Vec<(String, String)> {
    let mut waiting = VecDeque::from(["/".to_owned()]);
    let mut known = HashSet::from([shape("/")]);
    let mut read = Vec::new();
    while let Some(page) = waiting.pop_front() {
        assert!(read.len() < PAGES_MAX, "too many pages");
        let answered = request(console.door(), "GET", &page, &[("Cookie", cookie)], "");
        for link in values(&answered.body, "<a ", "href") {
            let is_page = link.starts_with('/') && !link.starts_with("/guide") && !link.starts_with("/exposure/");
            if is_page && known.insert(shape(&link)) {
                waiting.push_back(link);
            }
        }
        assert!(matches!(answered.status, 200 | 303 | 422), "{page}: {} {}", answered.status, answered.body);
        read.push((page, answered.body));
    }
    read
}

/// The values of an attribute of all elements that begin so.
fn values(page: &str, element: &str, attribute: &str) -> Vec<String> {
    let tags = page.split(element).skip(1).map(|rest| rest.split('>').next().unwrap_or_default());
    let begin = format!("{attribute}=\"");
    let values = tags.filter_map(|tag| tag.split_once(&begin)?.1.split('"').next());
    values.map(|value| value.replace("&#38;", "&").replace("&amp;", "&")).collect()
}

#[test]
fn nobody_is_shown_a_link_or_a_form_that_is_refused_to_them() {
    let console = furnished();
    let roles = ["View", "HelpDesk", "QueueOperator", "RecipientAdmin", "TransportAdmin", "SecurityOfficer"];
    let mut refused = Vec::new();
    let mut sent = 0;
    for role in roles {
        console.add_administrator(role, &[role]);
        let form = format!("name={role}&password={}", super::PASSWORD.replace(' ', "+"));
        let begun = request(console.door(), "POST", "/sign-in", &[], &form);
        let field = begun.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = field.and_then(|field| field.split(';').next()).expect("a session").to_owned();
        // All is read before anything is sent, which changes what there is.
        let pages = read_all(&console, &cookie);
        let mut actions = BTreeSet::new();
        for (page, text) in &pages {
            let forms = text.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap_or_default());
            let has_button = |form: &&str| form.starts_with("method=\"post\"") && form.contains("<button");
            for form in forms.filter(has_button) {
                let action =
                    values(&format!("<form {form}"), "<form ", "action").pop().expect("each says where it goes");
                let proof = values(form, "<input type=\"hidden\" name=\"proof\"", "value").pop();
                actions.insert((action, proof.unwrap_or_else(|| panic!("{page}: a form without a proof"))));
            }
        }
        for (action, proof) in actions.iter().filter(|(action, _)| !["/theme", "/sign-out"].contains(&&**action)) {
            let answered = request(console.door(), "POST", action, &[("Cookie", &cookie)], &format!("proof={proof}"));
            sent += 1;
            if answered.status == 403 {
                refused.push(format!("{role}: {action}"));
            }
        }
    }
    assert!(refused.is_empty() && sent > 20, "{sent} sent: {}", refused.join("\n"));
}

#[test]
fn no_page_grows_with_what_there_is() {
    const MANY: usize = 1_000;
    let connectors = (0..MANY).map(|number| {
        let (high, low) = (number / 256, number % 256);
        format!(
            "\n[[receive_connector]]\nname = \"Device {number} of the branch\"\nbindings = [\"127.0.0.1:{{smtp}}\"]\n\
             remote_ip_ranges = [\"10.1.{high}.{low}\"]\npermission_groups = [\"AnonymousUsers\"]\n"
        )
    });
    let objects = (0..MANY).map(|number| {
        format!(
            "\n[[mailbox]]\naddress = \"somebody.{number}@contoso.com\"\n[[accepted_domain]]\nname = \"branch{number}.example\"\n\
             [[send_connector]]\nname = \"To {number}\"\naddress_spaces = [\"SMTP:d{number}.example;1\"]\nsmart_hosts = [\"[127.0.0.1]:1\"]\n"
        )
    });
    let settings: String = connectors.chain(objects).collect();
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS, &settings]);
    let mut client = console.site.client(HOST_3);
    let recipients: Vec<String> = (0..300).map(|number| format!("somebody@d{number}.example")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    for recipients in recipients.chunks(100) {
        assert_eq!(client.submit("<app@contoso.com>", recipients, &message("many", "Text.")).code(), 250);
    }
    for number in 0..200 {
        let mut client = console.site.client(HOST_3);
        client.command("MAIL FROM:<app@contoso.com>");
        let refused = client.command(&format!("RCPT TO:<nobody.{number}@contoso.com>"));
        assert_eq!(refused.code(), 550, "{refused}");
    }
    let cookie = console.cookie();
    for page in navigation(&console) {
        let get = |page: &str| request(console.door(), "GET", page, &[("Cookie", &cookie)], "");
        let mut answered = get(&page);
        // The first of several lists.
        if let Some(place) = answered.head.lines().find_map(|line| line.strip_prefix("location: ")) {
            answered = get(place);
        }
        let bytes = answered.body.len() as u64;
        assert!(answered.status == 200 && bytes <= PAGE_BYTES_MAX, "{page}: {} with {bytes} bytes", answered.status);
    }
}
