//! The key with which this server signs what it hands out to be kept, and the signature that ends such a file.
//!
//! Takes a text and hands it on with one more line, which signs all lines before it, every byte of them (Ed25519, RFC 8032). Takes such a
//! file and says whether it is as it was signed, by which key. Whether that key is anybody's is for whoever asks to know: they hold the
//! public key, or its fingerprint. Blocking.
//!
//! | form | last line |
//! |---|---|
//! | HTML | `<!-- signature ed25519 KEY SIGNATURE -->` |
//! | JSON | `"signature": {"algorithm": "ed25519", "public_key": "KEY", "value": "SIGNATURE"}}` |
//!
//! The key is made when it is first needed, in `data_dir/report-key.pem`, for the server's user alone (PKCS #8, RFC 5958).

use std::fmt::{self, Write};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use crate::data_folder::{self, DataFolderError};
use crate::replace::replace_file;

const FILE: &str = "report-key.pem";
/// Keys are shorter by far.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// What stands before the 32 bytes of a public key (RFC 8410 section 4).
const PUBLIC_KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The disk does not give or take it.
    #[error("cannot use the key that signs reports, {path}: {source}", path = .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may have read it.
    #[error(
        "{path} may be read by others than its owner, who could sign in this server's name: if nobody has, run `chmod 600` on it; else remove it, and the next report makes another key",
        path = .0.display()
    )]
    Open(PathBuf),
    /// It holds something else.
    #[error(
        "{path} holds no Ed25519 key: put the right file back, or remove it, and the next report makes another key",
        path = .0.display()
    )]
    NoKey(PathBuf),
    /// A bug of ours, or a broken machine.
    #[error("the system makes no key")]
    NotMade,
}

/// What signs.
pub struct SigningKey(Ed25519KeyPair);

/// Nothing of the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public().fingerprint()).finish()
    }
}

impl SigningKey {
    /// The key of a server, which is made if there is none.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub fn of(data_dir: &Path) -> Result<SigningKey, SigningKeyError> {
        if let Some(known) = SigningKey::known(data_dir)? {
            return Ok(known);
        }
        // Two who need the first one get the same.
        let _lock = data_folder::lock(data_dir)?;
        if let Some(known) = SigningKey::known(data_dir)? {
            return Ok(known);
        }
        let key = Ed25519KeyPair::generate().map_err(|_| SigningKeyError::NotMade)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| SigningKeyError::NotMade)?;
        let path = data_dir.join(FILE);
        replace_file(&path, pem("PRIVATE KEY", der.as_ref()).as_bytes(), 0o600)
            .map_err(|source| SigningKeyError::Disk { path, source })?;
        let key = SigningKey(key);
        tracing::info!(fingerprint = key.public().fingerprint(), "made the key that signs reports");
        Ok(key)
    }

    /// The key that is there.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub fn known(data_dir: &Path) -> Result<Option<SigningKey>, SigningKeyError> {
        let path = data_dir.join(FILE);
        let read = || -> io::Result<(u32, Vec<u8>)> {
            let file = fs::File::open(&path)?;
            let mode = file.metadata()?.mode();
            let mut bytes = Vec::new();
            file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok((mode, bytes))
        };
        let (mode, bytes) = match read() {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SigningKeyError::Disk { path, source }),
        };
        if mode & 0o077 != 0 {
            return Err(SigningKeyError::Open(path));
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(&bytes).ok();
        let key = der.and_then(|der| Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        key.map(|key| Some(SigningKey(key))).ok_or(SigningKeyError::NoKey(path))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The text with the line that signs it. JSON has to be one object on several lines.
    pub fn sign(&self, form: Form, mut text: String) -> String {
        match form {
            Form::Html if text.ends_with('\n') => {}
            Form::Html => text.push('\n'),
            Form::Json => {
                let object = text.trim_end();
                let open = object.strip_suffix('}').unwrap_or(object).trim_end().len();
                text.truncate(open);
                text.push_str(",\n");
            }
        }
        let signature = self.0.sign(text.as_bytes());
        text.push_str(&form.line(&self.public(), signature.as_ref()));
        text
    }
}

/// What shows that a signature is a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`.
    pub fn parse_pem(text: &[u8]) -> Option<PublicKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).ok()?;
        PublicKey::of_bytes(der.as_ref().strip_prefix(&PUBLIC_KEY_PREFIX)?)
    }

    fn of_bytes(bytes: &[u8]) -> Option<PublicKey> {
        bytes.try_into().ok().map(PublicKey)
    }

    fn der(&self) -> Vec<u8> {
        [&PUBLIC_KEY_PREFIX[..], &self.0].concat()
    }

    /// As OpenSSL and all others read it.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.der())
    }

    /// The SHA-256 of its DER form, in hexadecimal digits: short enough to be read out on the telephone.
    pub fn fingerprint(&self) -> String {
        hexadecimal(digest(&SHA256, &self.der()).as_ref())
    }

    /// In the last line of a file.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

/// Bytes as digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Both of our keys are short enough for one line of base64.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page to look at and to print.
    Html,
    /// For programs.
    Json,
}

impl Form {
    /// What stands before the key, before the signature, and behind it.
    const fn words(self) -> [&'static str; 3] {
        match self {
            Form::Html => ["<!-- signature ed25519 ", " ", " -->\n"],
            Form::Json => {
                ["\"signature\": {\"algorithm\": \"ed25519\", \"public_key\": \"", "\", \"value\": \"", "\"}}\n"]
            }
        }
    }

    const fn begins_with(self) -> &'static [u8] {
        match self {
            Form::Html => b"<",
            Form::Json => b"{",
        }
    }

    fn line(self, key: &PublicKey, signature: &[u8]) -> String {
        let [before, between, behind] = self.words();
        format!("{before}{}{between}{}{behind}", key.to_base64(), STANDARD.encode(signature))
    }

    /// The key and the signature of a line that is exactly as [`Form::line`] writes it.
    fn read(self, line: &str) -> Option<(PublicKey, Vec<u8>)> {
        let [before, between, behind] = self.words();
        let (key, signature) = line.strip_prefix(before)?.strip_suffix(behind)?.split_once(between)?;
        let key = PublicKey::of_bytes(&STANDARD.decode(key).ok()?)?;
        let signature = STANDARD.decode(signature).ok()?;
        (self.line(&key, &signature) == line).then_some((key, signature))
    }
}

/// Why a file is not what a server signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Its last line is no signature.
    #[error("its last line is no signature: it was cut off, or never signed")]
    NotSigned,
    /// It is another text.
    #[error("it is not what was signed: it was changed, if only by one character")]
    Changed,
}

/// The key that has signed this file, every byte of it.
///
/// # Errors
/// [`SignatureError`].
pub fn signer(file: &[u8]) -> Result<PublicKey, SignatureError> {
    let body = file.strip_suffix(b"\n").ok_or(SignatureError::NotSigned)?;
    let end = body.iter().rposition(|byte| *byte == b'\n').ok_or(SignatureError::NotSigned)? + 1;
    let (text, line) = file.split_at(end);
    let line = std::str::from_utf8(line).map_err(|_| SignatureError::NotSigned)?;
    let forms = [Form::Html, Form::Json].into_iter().filter(|form| text.starts_with(form.begins_with()));
    let read = forms.filter_map(|form| form.read(line)).next();
    let (key, signature) = read.ok_or(SignatureError::NotSigned)?;
    let verified = UnparsedPublicKey::new(&ED25519, key.0).verify(text, &signature);
    verified.map(|()| key).map_err(|_| SignatureError::Changed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn texts() -> [(Form, String); 2] {
        let json = serde_json::json!({"server": "mx.contoso.com", "rows": [{"a": "}\n"}]});
        [
            (Form::Html, "<!doctype html>\n<p>Nobody.</p>".to_owned()),
            (Form::Json, serde_json::to_string_pretty(&json).expect("an object")),
        ]
    }

    #[test]
    fn no_byte_of_a_signed_file_can_be_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::of(folder.path()).expect("made");
        for (form, text) in texts() {
            let signed = key.sign(form, text).into_bytes();
            assert_eq!(signer(&signed), Ok(key.public()), "{form:?}");
            for place in 0..signed.len() {
                for flipped in [1, 0x20, 0x80] {
                    let mut changed = signed.clone();
                    changed[place] ^= flipped;
                    assert_ne!(signer(&changed), Ok(key.public()), "{form:?}: byte {place} ^ {flipped:#x}");
                }
                assert!(signer(&signed[..place]).is_err(), "{form:?}: cut off at {place}");
            }
            assert!(signer(&[&signed[..], b"\n"].concat()).is_err(), "{form:?}: one more line");
        }
    }

    #[test]
    fn the_last_line_of_another_form_is_no_signature() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::of(folder.path()).expect("made");
        let [(_, html), _] = texts();
        let text = format!("{html}\n");
        let signature = key.0.sign(text.as_bytes());
        let swapped = text.clone() + &Form::Json.line(&key.public(), signature.as_ref());
        assert_eq!(signer(swapped.as_bytes()), Err(SignatureError::NotSigned));
    }

    #[test]
    fn signed_json_is_json_still() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::of(folder.path()).expect("made");
        let [_, (form, text)] = texts();
        let read: serde_json::Value = serde_json::from_str(&key.sign(form, text)).expect("JSON");
        assert_eq!(read["signature"]["public_key"], key.public().to_base64());
        assert_eq!(read["rows"][0]["a"], "}\n");
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(SigningKey::known(folder.path()).expect("readable").is_none());
        let made = SigningKey::of(folder.path()).expect("made").public();
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(SigningKey::of(folder.path()).expect("kept").public(), made);
        assert_eq!(PublicKey::parse_pem(made.to_pem().as_bytes()), Some(made));
        assert_eq!(made.fingerprint().len(), 64);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        assert!(matches!(SigningKey::of(folder.path()), Err(SigningKeyError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&path, made.to_pem()).expect("written");
        assert!(matches!(SigningKey::of(folder.path()), Err(SigningKeyError::NoKey(_))));
    }
}
