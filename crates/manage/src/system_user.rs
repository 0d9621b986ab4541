//! Users of the system by their names.
//!
//! Takes a user's number, hands on how people read it. Looks into `/etc/passwd` alone: what a directory service knows is not asked, since
//! whoever makes a change would wait for it. Blocking, for one small file.

use std::fs::File;
use std::io::Read;

const FILE: &str = "/etc/passwd";
/// What is further down is not read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A longer name is cut off.
const NAME_CHARACTERS_MAX: usize = 64;

/// `uid 0 (root)`; without a name where it has none.
pub fn system_user(uid: u32) -> String {
    let mut text = Vec::new();
    let read = File::open(FILE).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut text));
    let name = read.ok().and_then(|_| name_in(&String::from_utf8_lossy(&text), uid));
    name.map_or_else(|| format!("uid {uid}"), |name| format!("uid {uid} ({name})"))
}

/// The first name that a number has.
fn name_in(text: &str, uid: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        let is_told = !name.is_empty() && !name.chars().any(char::is_control) && number.parse() == Ok(uid);
        is_told.then(|| name.chars().take(NAME_CHARACTERS_MAX).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_first_name_of_the_list() {
        let text =
            "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:\nbroken\nbell\u{7}:x:8:8::/:\ncarol:x:1000:1000::/:";
        for (uid, name) in [(0, Some("root")), (1000, Some("carol")), (8, None), (9, None)] {
            assert_eq!(name_in(text, uid).as_deref(), name, "{uid}");
        }
    }
}
