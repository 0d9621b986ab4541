//! Chromium's driver, and what it is asked: the W3C's WebDriver protocol, which is JSON over HTTP.
//!
//! A client of our own because every test here is synchronous and a dozen calls are all that is needed. Both programs are Debian
//! packages; the repository's `./test` installs them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait;

/// Under this key the protocol names an element of a page.
pub(crate) const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Runs the driver until standard input ends, which it does however the test program ends: nobody drops what a static holds,
/// and a driver left alone would keep its browsers. They end when the driver's pipes to them close.
const UNTIL_INPUT_ENDS: &str = r#"
folder=$1; shift
"$@" --port=0 2>&1 &
driver=$!
cat >/dev/null
exec 2>/dev/null
kill "$driver"
wait "$driver"
# The browsers may still be writing.
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$folder" && break; sleep 0.2; done
"#;

/// A running chromedriver; it ends when dropped.
pub(crate) struct Driver {
    child: Child,
    address: SocketAddr,
    /// What its browsers keep.
    folder: TempDir,
}

impl Driver {
    /// Starts one on a port that it finds itself.
    #[track_caller]
    pub(crate) fn start() -> Driver {
        let folder = tempfile::Builder::new().prefix("gatepost-browser-").tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_INPUT_ENDS, "sh"]).arg(folder.path()).arg("chromedriver");
        // A group of its own: an interrupt at the terminal is for the tests, and the end of these tells it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        // Without these it keeps settings and a cache at home.
        for variable in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(variable, folder.path());
        }
        let mut child = command.spawn().expect("sh is there");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is a pipe")).lines();
        let mut printed = String::new();
        let port = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("chromedriver did not start (./test installs chromium and chromium-driver):\n{printed}")
            };
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().expect("a port");
            }
            printed += &format!("{line}\n");
        };
        // What it says later is read so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Driver { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), folder }
    }

    /// Starts a browser with a profile of its own.
    #[track_caller]
    pub(crate) fn new_session(&self) -> Session {
        let profile = tempfile::Builder::new().prefix("profile-").tempdir_in(self.folder.path());
        let profile = profile.expect("a folder for the profile").keep();
        let arguments = [
            "--headless=new",
            // Containers seldom allow what its sandbox needs, and root never gets one.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--disable-default-apps",
            "--disable-search-engine-choice-screen",
            // No name is looked up, whatever a page or the browser itself wants; one stands for a name that an attacker owns.
            "--host-resolver-rules=MAP attacker.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.*, EXCLUDE localhost",
            // Fonts look the same on every machine.
            "--font-render-hinting=none",
            "--lang=en-GB",
            // Ends with the driver, however that ends.
            "--remote-debugging-pipe",
        ];
        let profile = format!("--user-data-dir={}", profile.display());
        let arguments: Vec<&str> = arguments.into_iter().chain([profile.as_str()]).collect();
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "ignore",
        }}});
        let made = ask(self.address, "POST", "/session", &capabilities)
            .unwrap_or_else(|error| panic!("chromium does not start: {error}"));
        let id = made["sessionId"].as_str().expect("a session has an id");
        Session { driver: self.address, path: format!("/session/{id}") }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A running browser.
pub(crate) struct Session {
    driver: SocketAddr,
    path: String,
}

impl Session {
    /// Asks for something that has no arguments.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        ask(self.driver, "GET", &format!("{}{path}", self.path), &Value::Null)
    }

    /// Tells it to do something.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        ask(self.driver, "POST", &format!("{}{path}", self.path), body)
    }

    /// Takes something away.
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        ask(self.driver, "DELETE", &format!("{}{path}", self.path), &Value::Null)
    }

    /// A command of Chromium's own protocol, for what WebDriver has no word for.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}

/// What the driver could not do.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The protocol's word for it, such as `stale element reference`.
    pub(crate) kind: String,
    message: String,
}

impl Failure {
    /// Nothing on the page is what was looked for.
    pub(crate) fn nothing_there() -> Failure {
        Failure { kind: "no such element".to_owned(), message: "nothing on the page is that".to_owned() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Behind the first line is a backtrace of the driver's.
        write!(formatter, "{}: {}", self.kind, self.message.lines().next().unwrap_or_default())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure { kind: "no answer from the driver".to_owned(), message: error.to_string() }
    }
}

/// One request over a connection of its own; what stands under `value` in the answer.
fn ask(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
    let stream = TcpStream::connect(driver)?;
    stream.set_read_timeout(Some(wait::PATIENCE))?;
    stream.set_write_timeout(Some(wait::PATIENCE))?;
    stream.set_nodelay(true)?;
    let body = if method == "POST" { body.to_string() } else { String::new() };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    (&stream).write_all(request.as_bytes())?;
    let mut answer = BufReader::new(&stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        answer.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    let mut answer: Value = serde_json::from_slice(&body).map_err(io::Error::from)?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(kind) => {
            Err(Failure { kind: kind.to_owned(), message: value["message"].as_str().unwrap_or_default().to_owned() })
        }
        None => Ok(value),
    }
}
