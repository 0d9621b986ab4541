//! A web browser as somebody uses it: looks for what is written on a page, fills in fields by their labels, presses buttons; and
//! what only a machine sees: complaints of the console, what axe-core finds, sizes, cookies.
//!
//! Browsers are borrowed: starting one takes longer than most tests, so at most [`BROWSERS_MAX`] run in one process, and who borrows
//! one gets a fresh tab without cookies, without a cache and without anything stored. Whatever a page does only in a moment is waited for.

use std::fs;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::wait;
use crate::web_driver::{Driver, ELEMENT, Failure, Session};

/// So many browsers at once: each takes most of a core while a page loads.
const BROWSERS_MAX: usize = 2;

/// How long a page may take to show what is waited for: long, because a loaded machine is no bug.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many characters of a page are shown when a test fails there.
const SHOWN_CHARACTERS_MAX: usize = 3_000;

/// The tallest picture that is taken of a page, in pixels.
const PICTURE_HEIGHT_MAX: f64 = 6_000.0;

/// A screen that a page is shown on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Screen {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether it is a phone, which heeds what a page says of its viewport.
    pub is_phone: bool,
}

/// On a desk.
pub const DESK: Screen = Screen { width: 1440, height: 900, is_phone: false };

/// In a hand.
pub const PHONE: Screen = Screen { width: 390, height: 844, is_phone: true };

/// What the user of the browser prefers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// As style sheets name it.
    pub fn name(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}

/// A browser in our hands; it goes back when dropped.
pub struct Browser {
    /// There until it is dropped.
    session: Option<Session>,
}

impl Browser {
    /// A browser as it is when somebody comes for the first time; waits while all are in use. It shows nothing, on a desk, in light.
    #[track_caller]
    pub fn borrow() -> Browser {
        let browser = Browser { session: Some(POOL.take()) };
        browser.show_on(DESK);
        browser.prefer(Theme::Light);
        browser
    }

    /// Goes to this address and waits until the page has loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.must(&format!("open {url}"), self.session().post("/url", &json!({"url": url})));
    }

    /// Loads the page anew.
    #[track_caller]
    pub fn reload(&self) {
        self.must("reload", self.session().post("/refresh", &json!({})));
    }

    /// Goes back to the page before.
    #[track_caller]
    pub fn back(&self) {
        self.must("go back", self.session().post("/back", &json!({})));
    }

    /// Where it is.
    #[track_caller]
    pub fn url(&self) -> String {
        string(&self.must("tell where it is", self.session().get("/url")))
    }

    /// The title of the page.
    #[track_caller]
    pub fn title(&self) -> String {
        string(&self.must("tell the title", self.session().get("/title")))
    }

    /// The document as it stands now.
    #[track_caller]
    pub fn source(&self) -> String {
        string(&self.must("tell its source", self.session().get("/source")))
    }

    /// What somebody reads on the whole page.
    #[track_caller]
    pub fn page_text(&self) -> String {
        string(&self.run("return document.body ? document.body.innerText : ''", json!([])))
    }

    /// What somebody reads in the first element that matches; waits until there is one.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let text = self.attempt(&format!("text of {css}"), |session| {
            let element = find_by_css(session, css)?;
            session.get(&format!("/element/{element}/text"))
        });
        string(&text)
    }

    /// What somebody reads in every element that matches now.
    #[track_caller]
    pub fn texts(&self, css: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(node => node.innerText.trim())";
        let texts = self.run(script, json!([css]));
        texts.as_array().into_iter().flatten().map(string).collect()
    }

    /// An attribute of the first element that matches; waits until there is one.
    #[track_caller]
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let value = self.attempt(&format!("{name} of {css}"), |session| {
            let element = find_by_css(session, css)?;
            session.get(&format!("/element/{element}/attribute/{name}"))
        });
        value.as_str().map(str::to_owned)
    }

    /// Whether an element matches now.
    #[track_caller]
    pub fn has(&self, css: &str) -> bool {
        self.run("return document.querySelector(arguments[0]) !== null", json!([css])) == true
    }

    /// Waits until an element matches.
    #[track_caller]
    pub fn wait_for(&self, css: &str) {
        self.attempt(css, |session| find_by_css(session, css));
    }

    /// Waits until the page says this.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        let found = wait::within(PATIENCE, || self.page_text().contains(text).then_some(()));
        if found.is_none() {
            self.give_up(&format!("the page never says {text:?}"));
        }
    }

    /// Waits until it is at an address that contains this.
    #[track_caller]
    pub fn wait_for_url(&self, part: &str) {
        let found = wait::within(PATIENCE, || self.url().contains(part).then_some(()));
        if found.is_none() {
            self.give_up(&format!("it never comes to {part:?}"));
        }
    }

    /// Clicks on the first element that matches.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.attempt(&format!("click on {css}"), |session| click(session, &find_by_css(session, css)?));
    }

    /// Presses the button, the tab or the fold that says this.
    #[track_caller]
    pub fn press(&self, name: &str) {
        self.attempt(&format!("press {name:?}"), |session| click(session, &find_named(session, "button", name)?));
    }

    /// Presses it, and says yes to the question that a script asks then.
    #[track_caller]
    pub fn press_and_confirm(&self, name: &str) {
        self.press(name);
        self.attempt("say yes", |session| session.post("/alert/accept", &json!({})));
    }

    /// Follows the link that says this.
    #[track_caller]
    pub fn follow(&self, name: &str) {
        self.attempt(&format!("follow {name:?}"), |session| click(session, &find_named(session, "link", name)?));
    }

    /// Whether there is a button, a tab or a fold that says this and can be seen.
    #[track_caller]
    pub fn has_button(&self, name: &str) -> bool {
        find_named(self.session(), "button", name).is_ok()
    }

    /// Whether there is a link that says this and can be seen.
    #[track_caller]
    pub fn has_link(&self, name: &str) -> bool {
        find_named(self.session(), "link", name).is_ok()
    }

    /// Whether there is a field with this label that can be seen.
    #[track_caller]
    pub fn has_field(&self, label: &str) -> bool {
        find_named(self.session(), "field", label).is_ok()
    }

    /// Types this into the field with this label, in place of what stands there.
    #[track_caller]
    pub fn fill(&self, label: &str, text: &str) {
        self.attempt(&format!("fill in {label:?}"), |session| {
            let field = find_named(session, "field", label)?;
            session.post(&format!("/element/{field}/clear"), &json!({}))?;
            session.post(&format!("/element/{field}/value"), &json!({"text": text}))
        });
    }

    /// Puts this into the field with this label at once, as pasting does: typing long texts takes long.
    #[track_caller]
    pub fn paste(&self, label: &str, text: &str) {
        self.attempt(&format!("paste into {label:?}"), |session| {
            let field = find_named(session, "field", label)?;
            let script = "const [field, text] = arguments; field.focus(); field.value = text; \
                          field.dispatchEvent(new Event('input', {bubbles: true})); \
                          field.dispatchEvent(new Event('change', {bubbles: true}))";
            run(session, script, json!([{ELEMENT: field}, text]))
        });
    }

    /// What stands in the field with this label.
    #[track_caller]
    pub fn value(&self, label: &str) -> String {
        let value = self.attempt(&format!("value of {label:?}"), |session| {
            let field = find_named(session, "field", label)?;
            session.get(&format!("/element/{field}/property/value"))
        });
        string(&value)
    }

    /// Chooses what is written so in the list with this label.
    #[track_caller]
    pub fn choose(&self, label: &str, option: &str) {
        self.attempt(&format!("choose {option:?} of {label:?}"), |session| {
            let list = find_named(session, "field", label)?;
            let script = "const [list, name] = arguments; \
                          return [...list.options].find(option => option.text.trim() === name) || null";
            let option = element_of(&run(session, script, json!([{ELEMENT: list}, option]))?)?;
            click(session, &option)
        });
    }

    /// Sets the box or the button of a group with this label.
    #[track_caller]
    pub fn tick(&self, label: &str) {
        self.set_tick(label, true);
    }

    /// Clears the box with this label.
    #[track_caller]
    pub fn untick(&self, label: &str) {
        self.set_tick(label, false);
    }

    /// Whether the box with this label is set.
    #[track_caller]
    pub fn is_ticked(&self, label: &str) -> bool {
        self.attempt(&format!("state of {label:?}"), |session| {
            let field = find_named(session, "field", label)?;
            session.get(&format!("/element/{field}/selected"))
        }) == true
    }

    /// Types keys at whatever has the focus.
    #[track_caller]
    pub fn keys(&self, keys: &str) {
        self.attempt("type", |session| {
            let focused = element_of(&session.get("/element/active")?)?;
            session.post(&format!("/element/{focused}/value"), &json!({"text": keys}))
        });
    }

    /// Runs a script in the page and waits for what it returns; `arguments` has what it is given.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        self.must("run a script", run(self.session(), script, arguments))
    }

    /// Shows pages on this screen.
    #[track_caller]
    pub fn show_on(&self, screen: Screen) {
        let Screen { width, height, is_phone } = screen;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.session().devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Prefers this theme. Nothing moves: what is half-way through a movement has colours that no theme has.
    #[track_caller]
    pub fn prefer(&self, theme: Theme) {
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": theme.name()},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.session().devtools("Emulation.setEmulatedMedia", &features);
    }

    /// From the next page on, whether pages may run scripts.
    #[track_caller]
    pub fn allow_scripts(&self, allowed: bool) {
        self.session().devtools("Emulation.setScriptExecutionDisabled", &json!({"value": !allowed}));
    }

    /// How many pixels the page is wider than the screen, which is what somebody would have to scroll sideways, and what sticks out.
    #[track_caller]
    pub fn overflow(&self) -> (u64, Vec<String>) {
        let script = "
            const width = document.documentElement.clientWidth;
            const wide = Math.max(0, document.scrollingElement.scrollWidth - width);
            const out = wide ? [...document.querySelectorAll('body *')]
                .filter(node => node.getBoundingClientRect().right > width + 1)
                .slice(0, 5).map(node => node.outerHTML.slice(0, 160)) : [];
            return [wide, out]";
        let found = self.run(script, json!([]));
        let out = found[1].as_array().into_iter().flatten().map(string).collect();
        (found[0].as_f64().unwrap_or_default().ceil() as u64, out)
    }

    /// What the console has complained of since this was asked last: errors of scripts, requests that failed, breaches of the
    /// content security policy.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.must("read the console", self.session().post("/se/log", &json!({"type": "browser"})));
        let is_complaint = |entry: &&Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let entries = entries.as_array().into_iter().flatten().filter(is_complaint);
        entries.map(|entry| string(&entry["message"])).collect()
    }

    /// What axe-core, whose program is this file, finds wrong with the page as it is shown: one line for each rule with the
    /// elements that break it. `rules` are the ids of the only rules to look at; none of them means all.
    #[track_caller]
    pub fn barriers(&self, axe: &Path, rules: &[&str]) -> Vec<String> {
        let program = fs::read_to_string(axe)
            .unwrap_or_else(|error| panic!("{} is not there: ./test installs it ({error})", axe.display()));
        let options = match rules {
            [] => json!({"resultTypes": ["violations"]}),
            some => json!({"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": some}}),
        };
        let script = "
            ;return axe.run(document, arguments[0]).then(found => [found.passes.length, found.violations.map(rule =>
                `${rule.id} (${rule.impact}): ${rule.help}` + rule.nodes.map(node =>
                    `\\n    ${node.target.join(' ')}: ${node.html.slice(0, 160)}` +
                    node.any.concat(node.all, node.none).map(check => `\\n      ${check.message}`).join('')).join(''))])";
        let found = self.run(&format!("{program}{script}"), json!([options]));
        // It has really looked.
        assert!(found[0].as_u64().is_some_and(|rules| rules > 0), "axe-core held no rule against {}", self.url());
        found[1].as_array().into_iter().flatten().map(string).collect()
    }

    /// Bytes of the page that was opened last: of its document, uncompressed, and of all that it had to fetch over the
    /// network besides, as they came.
    #[track_caller]
    pub fn weight(&self) -> (u64, u64) {
        let script = "
            const page = performance.getEntriesByType('navigation')[0];
            const rest = performance.getEntriesByType('resource').filter(entry => entry.initiatorType !== 'fetch');
            return [page.decodedBodySize, rest.reduce((sum, entry) => sum + entry.encodedBodySize, 0)]";
        let found = self.run(script, json!([]));
        (found[0].as_f64().unwrap_or_default() as u64, found[1].as_f64().unwrap_or_default() as u64)
    }

    /// The cookies that it would send to the page it is at, as WebDriver describes them.
    #[track_caller]
    pub fn cookies(&self) -> Vec<Value> {
        match self.must("tell its cookies", self.session().get("/cookie")) {
            Value::Array(cookies) => cookies,
            other => panic!("cookies: {other}"),
        }
    }

    /// Forgets all cookies.
    #[track_caller]
    pub fn forget_cookies(&self) {
        self.session().devtools("Network.clearBrowserCookies", &json!({}));
    }

    /// A picture of the whole page, PNG, in this file; makes the folder.
    #[track_caller]
    pub fn picture(&self, file: &Path) {
        let session = self.session();
        let size = &session.devtools("Page.getLayoutMetrics", &json!({}))["cssContentSize"];
        let height = size["height"].as_f64().unwrap_or_default().min(PICTURE_HEIGHT_MAX);
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1});
        let whole = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = session.devtools("Page.captureScreenshot", &whole);
        let bytes = STANDARD.decode(taken["data"].as_str().unwrap_or_default()).expect("the driver writes base64");
        fs::create_dir_all(file.parent().expect("a folder")).expect("make the folder");
        fs::write(file, bytes).expect("write the picture");
    }

    #[track_caller]
    fn set_tick(&self, label: &str, ticked: bool) {
        self.attempt(&format!("set {label:?} to {ticked}"), |session| {
            let field = find_named(session, "field", label)?;
            if session.get(&format!("/element/{field}/selected"))? != ticked {
                click(session, &field)?;
            }
            Ok(Value::Null)
        });
    }

    /// Tries until it works: a page may be on its way.
    #[track_caller]
    fn attempt<T>(&self, what: &str, mut step: impl FnMut(&Session) -> Result<T, Failure>) -> T {
        let mut last = None;
        let done = wait::within(PATIENCE, || step(self.session()).map_err(|failure| last = Some(failure)).ok());
        done.unwrap_or_else(|| match last {
            Some(failure) => self.give_up(&format!("{what}: {failure}")),
            None => self.give_up(what),
        })
    }

    #[track_caller]
    fn must(&self, what: &str, answer: Result<Value, Failure>) -> Value {
        answer.unwrap_or_else(|failure| self.give_up(&format!("{what}: {failure}")))
    }

    /// Fails the test and tells what is seen.
    #[track_caller]
    fn give_up(&self, what: &str) -> ! {
        let session = self.session();
        let url = session.get("/url").map(|url| string(&url)).unwrap_or_default();
        let text = run(session, "return document.body ? document.body.innerText : ''", json!([]));
        let text: String =
            text.map(|text| string(&text)).unwrap_or_default().chars().take(SHOWN_CHARACTERS_MAX).collect();
        let complaints = session.post("/se/log", &json!({"type": "browser"})).unwrap_or_default();
        panic!("{what}\nat {url}\nconsole: {complaints}\n--- the page ---\n{text}");
    }

    fn session(&self) -> &Session {
        self.session.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            POOL.give_back(session);
        }
    }
}

/// The driver, and browsers that nobody uses now.
struct Pool {
    inside: Mutex<Inside>,
    came_back: Condvar,
}

struct Inside {
    driver: Option<Driver>,
    idle: Vec<Session>,
    started: usize,
}

static POOL: Pool =
    Pool { inside: Mutex::new(Inside { driver: None, idle: Vec::new(), started: 0 }), came_back: Condvar::new() };

impl Pool {
    #[track_caller]
    fn take(&self) -> Session {
        let mut inside = self.lock();
        loop {
            if let Some(session) = inside.idle.pop() {
                return session;
            }
            if inside.started < BROWSERS_MAX {
                let session = inside.driver.get_or_insert_with(Driver::start).new_session();
                inside.started += 1;
                return session;
            }
            inside = self.came_back.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes back what somebody has used, as new, or ends it if that cannot be done.
    fn give_back(&self, session: Session) {
        let cleaned = clean(&session);
        if cleaned.is_err() {
            let _ = session.delete("");
        }
        let mut inside = self.lock();
        match cleaned {
            Ok(()) => inside.idle.push(session),
            Err(_) => inside.started -= 1,
        }
        self.came_back.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves nothing behind of what was done: emulation ends with its tab, the rest is cleared.
fn clean(session: &Session) -> Result<(), Failure> {
    let clear = |command: &str, parameters: Value| {
        session.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    };
    clear("Network.clearBrowserCookies", json!({}))?;
    clear("Network.clearBrowserCache", json!({}))?;
    clear("Storage.clearDataForOrigin", json!({"origin": "*", "storageTypes": "all"}))?;
    let fresh = session.post("/window/new", &json!({"type": "tab"}))?;
    session.delete("/window")?;
    session.post("/window", &json!({"handle": fresh["handle"]}))?;
    session.post("/se/log", &json!({"type": "browser"}))?;
    Ok(())
}

fn run(session: &Session, script: &str, arguments: Value) -> Result<Value, Failure> {
    session.post("/execute/sync", &json!({"script": script, "args": arguments}))
}

fn click(session: &Session, element: &str) -> Result<Value, Failure> {
    session.post(&format!("/element/{element}/click"), &json!({}))
}

fn find_by_css(session: &Session, css: &str) -> Result<String, Failure> {
    element_of(&session.post("/element", &json!({"using": "css selector", "value": css}))?)
}

/// Finds what somebody would take for it: what can be seen and says exactly this, or else begins with it. Fields are found by
/// their labels, so a field that has none is not found.
const FIND: &str = r#"
const [kind, name] = arguments;
const plain = text => (text || '').replace(/\s+/g, ' ').trim();
const written = node => {
    const copy = node.cloneNode(true);
    copy.querySelectorAll('select, textarea, input, script, style').forEach(inner => inner.remove());
    return plain(copy.textContent);
};
const names = node => [plain(node.getAttribute('aria-label')), written(node), plain(node.value)];
const all = css => [...document.querySelectorAll(css)]
    .filter(node => node.checkVisibility() && !node.closest('[aria-hidden=true]'));
const found = {
    link: () => all('a[href]').map(node => [node, names(node)]),
    button: () => all('button, input[type=submit], input[type=button], summary, [role=button], [role=tab]')
        .map(node => [node, names(node)]),
    field: () => all('input, select, textarea').map(node => [node,
        [plain(node.getAttribute('aria-label')), ...[...node.labels || []].map(written)]]),
}[kind]();
const fits = test => (found.find(([, names]) => names.some(test)) || [null])[0];
return fits(text => text === name) || fits(text => text.startsWith(name));
"#;

fn find_named(session: &Session, kind: &str, name: &str) -> Result<String, Failure> {
    element_of(&run(session, FIND, json!([kind, name]))?)
}

fn element_of(value: &Value) -> Result<String, Failure> {
    value[ELEMENT].as_str().map(str::to_owned).ok_or_else(Failure::nothing_there)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
