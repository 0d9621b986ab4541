//! Names of certificates: whatever a certificate or a settings document holds, a name that was read reads back as itself.
#![no_main]

use gatepost_policy::certificate::{CertificateName, DistinguishedName, Thumbprint};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(name) = DistinguishedName::from_der(bytes) {
        let again: DistinguishedName = name.to_string().parse().expect("a name as it is shown");
        assert!(again.is_same(&name), "{name}");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<CertificateName>() {
        let again: CertificateName = name.to_string().parse().expect("a name as it is shown");
        assert!(again.is_same(&name), "{name}");
    }
    if let Some(thumbprint) = Thumbprint::parse(text) {
        assert_eq!(Thumbprint::parse(&thumbprint.to_string()), Some(thumbprint));
    }
});
