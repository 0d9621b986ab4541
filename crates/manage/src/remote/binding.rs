//! Bindings: a local address and a port.

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::rc::Rc;

use gatepost_shell::value::{Foreign, Value};

use super::range::address;
use super::text_of::text;

/// `0.0.0.0:25`.
#[derive(Debug)]
struct Binding(SocketAddr);

/// The binding that a text is.
///
/// # Errors
/// Why it is none.
pub fn value(text: &str) -> Result<Value, String> {
    let address = text.trim().parse().map_err(|_| "write address and port, as 0.0.0.0:25 or [::]:25".to_owned())?;
    Ok(Value::Foreign(Rc::new(Binding(address))))
}

impl Foreign for Binding {
    fn type_name(&self) -> &str {
        "Microsoft.Exchange.Data.IPBinding"
    }

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn properties(&self) -> &[&'static str] {
        &["Address", "Port", "AddressFamily"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        Some(match name.to_ascii_lowercase().as_str() {
            "address" => address(self.0.ip()),
            "port" => Value::Int(self.0.port().into()),
            "addressfamily" => Value::text(if self.0.is_ipv4() { "InterNetwork" } else { "InterNetworkV6" }),
            _ => return None,
        })
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        let other: SocketAddr = text(other).trim().parse().ok()?;
        Some(self.0.cmp(&other))
    }

    fn equals(&self, other: &Value) -> Option<bool> {
        Some(self.compare(other).is_some_and(Ordering::is_eq))
    }
}
