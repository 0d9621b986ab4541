//! `gatepost audit --report`, `--verify`, `--public-key`: the running server's report as a file that it signs, and what others need to
//! know that such a file is the server's.
//!
//! Whoever verifies asks no server: the file, and a key that they have from elsewhere, are enough.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use gatepost_manage::document::data_dir;
use gatepost_manage::resource::{ReportFormat, ReportQuery};
use gatepost_manage::signing::{PublicKey, SigningKey, signer};
use serde::Serialize;

use super::{client, here, wait_for, write_json};
use crate::cli::Target;
use crate::failure::Failure;

/// Reports of ten thousand connectors are shorter by far.
const REPORT_BYTES_MAX: u64 = 512 * 1024 * 1024;
const KEY_BYTES_MAX: u64 = 64 * 1024;
const FINGERPRINT_DIGITS: usize = 64;

/// What `--verify --json` prints.
#[derive(Serialize)]
struct Verified<'a> {
    file: String,
    /// Whether it is as that key signed it.
    verified: bool,
    /// The fingerprint of the key that has signed it, whoever's that is.
    signed_by: Option<String>,
    /// The fingerprint of the key that had to.
    expected: &'a str,
    /// What is wrong.
    error: Option<String>,
}

/// Has the server write its report, and keeps it.
pub fn write(out: &mut dyn Write, target: &Target, path: &Path) -> Result<(), Failure> {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    let format = match ending.as_deref().and_then(|ending| ending.to_str()) {
        Some("html" | "htm") => ReportFormat::Html,
        Some("json") => ReportFormat::Json,
        _ => {
            let text = format!("error: {}: name it with .html, for a page, or with .json", path.display());
            return Err(Failure::Usage(text));
        }
    };
    let report = wait_for(client(target)?.exposure_report(&ReportQuery { format }))?;
    let key = signer(&report).map_err(|error| Failure::of(format!("what the server sent is no report: {error}")))?;
    std::fs::write(path, &report).map_err(|error| Failure::of(format!("cannot write {}: {error}", path.display())))?;
    Ok(writeln!(out, "{}\nsigned by the key {}", path.display(), key.fingerprint())?)
}

/// Prints what others verify reports with.
pub fn public_key(out: &mut dyn Write, target: &Target, json: bool) -> Result<(), Failure> {
    let key = wait_for(client(target)?.report_key())?;
    match json {
        true => write_json(out, &key),
        // OpenSSL and all others pass over what stands beside the key.
        false => Ok(writeln!(out, "{}# fingerprint: {}", key.public_key, key.fingerprint)?),
    }
}

/// Says whether a file is what a server signed: the one of `key`, or the one of this machine.
pub fn verify(out: &mut dyn Write, target: &Target, path: &Path, key: Option<&str>, json: bool) -> Result<(), Failure> {
    let expected = match key {
        Some(key) => fingerprint_of(key)?,
        None => of_this_machine(target)?,
    };
    let signed = signer(&read(path, REPORT_BYTES_MAX)?);
    let signed_by = signed.as_ref().ok().map(PublicKey::fingerprint);
    let error = match &signed {
        Err(error) => Some(error.to_string()),
        Ok(_) if signed_by.as_deref() == Some(&expected) => None,
        Ok(_) => Some("it is whole, but another key has signed it".to_owned()),
    };
    let verified = error.is_none();
    if json {
        write_json(
            out,
            &Verified { file: path.display().to_string(), verified, signed_by, expected: &expected, error },
        )?;
    } else if let Some(error) = &error {
        writeln!(out, "NOT VERIFIED: {}: {error}", path.display())?;
        if let Some(signed_by) = &signed_by {
            writeln!(out, "  signed by   {signed_by}\n  expected    {expected}")?;
        }
    } else {
        writeln!(out, "Verified: {} is, byte by byte, what was signed by the key\n  {expected}", path.display())?;
    }
    out.flush()?;
    if verified { Ok(()) } else { Err(Failure::NotSo) }
}

/// The fingerprint that somebody wrote, or that of the key in a file.
fn fingerprint_of(key: &str) -> Result<String, Failure> {
    let digits: String = key.chars().filter(|letter| !matches!(letter, ':' | ' ')).collect();
    if digits.len() == FINGERPRINT_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    let known = PublicKey::parse_pem(&read(Path::new(key), KEY_BYTES_MAX)?);
    known.map(|known| known.fingerprint()).ok_or_else(|| {
        Failure::of(format!(
            "{key} holds no Ed25519 public key: `gatepost audit --public-key` of the server prints it, and its fingerprint"
        ))
    })
}

fn of_this_machine(target: &Target) -> Result<String, Failure> {
    let elsewhere = "name the key that has to have signed it: --key with a file, or with a fingerprint, from the server's administrator";
    let folder = data_dir(here(target)?)?;
    match SigningKey::known(&folder) {
        Ok(Some(key)) => Ok(key.public().fingerprint()),
        Ok(None) => Err(Failure::of(format!("this machine's server has signed no report yet: {elsewhere}"))),
        Err(error) => Err(Failure::of(format!("{error}; {elsewhere}"))),
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > bytes_max => {
            Err(Failure::of(format!("{} is too long for what it should be", path.display())))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::of(format!("cannot read {}: {error}", path.display()))),
    }
}
