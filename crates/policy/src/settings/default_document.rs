//! The settings document of the first start: safe, small and explained.

use gatepost_mail::Domain;

use super::Settings;

impl Settings {
    /// The text of a first `gatepost.toml` for a machine of that name: loopback only, SMTP on port 2525 and submission on
    /// port 2587, administrators on port 8025, one accepted domain (the machine's name) with one mailbox (postmaster), a relay for nobody. A name that
    /// is no domain name becomes `localhost`. On a machine without IPv6 (`has_ipv6` false: many containers) nothing is
    /// bound to `::1`, where the server could not listen.
    pub fn default_document(host_name: &str, has_ipv6: bool) -> String {
        let name = Domain::parse(host_name).ok().filter(|name| !name.is_literal());
        let name = name.as_ref().map_or("localhost", Domain::as_str);
        let document = TEMPLATE.replace("{name}", name);
        if has_ipv6 {
            return document;
        }
        let without =
            [(r#", "[::1]:2525"]   #"#, r#"]                 #"#), (r#", "[::1]:2587"]"#, "]"), (r#", "::1"]"#, "]")];
        without.into_iter().fold(document, |document, (with, without)| document.replace(with, without))
    }
}

const TEMPLATE: &str = r#"# Settings of Gatepost. `gatepost check` tells every mistake in this file; `gatepost reload` makes the running server
# take it. Names are those of Exchange's receive and send connectors, written like_this. Text after # is a comment.

[server]
name = "{name}"
data_dir = "gatepost-data"                    # the queue, mailboxes and credentials; relative to this file

# Without [tls] the server uses a self-signed certificate that it made on its first start.
# [tls]
# certificate = "/etc/gatepost/fullchain.pem"
# private_key = "/etc/gatepost/key.pem"

# Where administrators log on with name and password, or programs with a token; addresses of other machines get TLS.
# `gatepost admin` and `gatepost token` say who may. Without this there is the socket in the data folder alone.
[management]
listen = ["127.0.0.1:8025"]

# Mail for these domains is taken from everybody who may send at all; everything else is relaying.
[[accepted_domain]]
name = "{name}"
domain_type = "Authoritative"                 # all its recipients are here; also: InternalRelay, ExternalRelay

# A recipient here. Its mail is kept as a Maildir in the data folder, under mailboxes.
[[mailbox]]
address = "postmaster@{name}"

# Who may authenticate. `gatepost user add alice` sets the password.
# [[user]]
# name = "alice"
# addresses = ["alice@{name}"]                # what alice may send as

# Who is heard, where, under which rules. Several connectors may share an address and port: the one with the most
# specific range for the peer's address is taken.

# Mail from programs on this machine to the domains above, and to nowhere else.
[[receive_connector]]
name = "Default"
bindings = ["127.0.0.1:2525", "[::1]:2525"]   # "0.0.0.0:25" and "[::]:25" for the whole network
remote_ip_ranges = ["127.0.0.0/8", "::1"]
auth_mechanism = ["Tls"]
permission_groups = ["AnonymousUsers"]

# Users who authenticate, inside TLS only; they may send anywhere, as themselves.
[[receive_connector]]
name = "Client"
bindings = ["127.0.0.1:2587", "[::1]:2587"]
remote_ip_ranges = ["127.0.0.0/8", "::1"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers"]

# A gate for one device that cannot authenticate: these addresses and no others may send to any recipient.
# [[receive_connector]]
# name = "Scanner"
# bindings = ["0.0.0.0:25"]
# remote_ip_ranges = ["192.168.2.55"]
# permission_groups = ["AnonymousUsers"]
#   [[receive_connector.permission]]
#   user = "NT AUTHORITY\\ANONYMOUS LOGON"
#   extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]

# The way out. Without one, mail for other domains waits.
# [[send_connector]]
# name = "Internet"
# address_spaces = ["SMTP:*;1"]
# dns_routing_enabled = true                  # where MX records point; or smart_hosts = ["relay.example.net:587"]
"#;
