//! Modules use only modules listed below them (invariant I5), so that a crate's `lib.rs` is its layer diagram.
//!
//! Takes the repository's folder; hands on one finding for each path that leads upward, or to an item that `lib.rs` itself
//! declares. The same holds among the children of a module. Tests may look anywhere.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::Finding;
use super::source::{NamedPath, Source, crates, rust_files};

pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (_, folder) in crates(root)? {
        let sources = folder.join("src");
        for opening in ["lib.rs", "main.rs"] {
            if sources.join(opening).is_file() {
                let mut files = Vec::new();
                for file in rust_files(&sources)? {
                    let module = module_path(file.strip_prefix(&sources).expect("the file lies below its crate's src"));
                    files.push((module, Source::read(root, &file)?));
                }
                let opening = Source::read(root, &sources.join(opening))?;
                findings.extend(judge(&opening, &files));
                break;
            }
        }
    }
    Ok(findings)
}

/// The module that a file is: `a/b.rs` and `a/b/mod.rs` are both `["a", "b"]`; `lib.rs` and `main.rs` are `[]`.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let opens_a_folder = match path.last().map(String::as_str) {
        Some("mod") => true,
        Some("lib" | "main") => path.len() == 1,
        _ => false,
    };
    if opens_a_folder {
        path.pop();
    }
    path
}

/// What leads upward in one crate: its opening file, and all its files by module.
fn judge(opening: &Source, files: &[(Vec<String>, Source)]) -> Vec<Finding> {
    let mut children: HashMap<&[String], Vec<String>> = HashMap::new();
    for (module, source) in files {
        children.insert(module, source.modules());
    }
    children.insert(&[], opening.modules());
    let lifted: HashMap<String, String> = opening.lifted().into_iter().map(|path| (path.alias, path.text)).collect();
    let mut findings = Vec::new();
    for (module, source) in files.iter().filter(|(module, _)| !module.is_empty()) {
        for path in source.paths() {
            let Some(used) = absolute(module, &path, source) else { continue };
            let used = resolve(used, &children, &lifted);
            if let Some((wrong, instead)) = upward(module, &used, &children, opening) {
                findings.push(Finding { file: source.file.clone(), line: path.line, wrong, instead });
            }
        }
    }
    findings.dedup();
    findings
}

/// The path from the crate's root; none when it does not begin with `crate`, `self` or `super`, or stays in its file.
fn absolute(module: &[String], path: &NamedPath, source: &Source) -> Option<Vec<String>> {
    let mut segments = path.text.split("::").filter(|segment| *segment != "*").peekable();
    let mut base: Vec<String> = match *segments.peek()? {
        "crate" => {
            segments.next();
            Vec::new()
        }
        "super" => {
            let mut supers = 0usize;
            while segments.next_if_eq(&"super").is_some() {
                supers += 1;
            }
            // Inside an inline module the first `super` only leads out of that.
            let left = supers.checked_sub(source.inline_depth(path.offset)).filter(|left| *left > 0)?;
            module[..module.len().saturating_sub(left)].to_vec()
        }
        _ => return None,
    };
    base.extend(segments.filter(|segment| *segment != "self").map(str::to_owned));
    Some(base)
}

/// Replaces a name that the crate's root lifts up by the path it stands for.
fn resolve(
    used: Vec<String>,
    children: &HashMap<&[String], Vec<String>>,
    lifted: &HashMap<String, String>,
) -> Vec<String> {
    let root: &[String] = &[];
    let Some(first) = used.first() else { return used };
    if children[root].contains(first) {
        return used;
    }
    let Some(path) = lifted.get(first) else { return used };
    let whole = path.split("::").filter(|segment| !matches!(*segment, "crate" | "self")).map(str::to_owned);
    whole.chain(used.into_iter().skip(1)).collect()
}

/// Why the use of one module by another leads upward, and what to do about it.
fn upward(
    module: &[String],
    used: &[String],
    children: &HashMap<&[String], Vec<String>>,
    opening: &Source,
) -> Option<(String, String)> {
    let common = module.iter().zip(used).take_while(|(a, b)| a == b).count();
    // One of the two contains the other: a parent may use its children, and a child the words of its parent.
    let (Some(from), Some(to)) = (module.get(common), used.get(common)) else { return None };
    let siblings = children.get(&module[..common])?;
    let list = match common {
        0 => opening.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        _ => format!("{}.rs", module[..common].join("/")),
    };
    let place = |name: &str| siblings.iter().position(|sibling| sibling == name);
    match (place(from), place(to)) {
        (Some(from_place), Some(to_place)) if to_place < from_place => Some((
            format!("`{from}` uses `{to}`, which {list} lists above it"),
            format!("list `{to}` below `{from}`, or move what both need into a module below them"),
        )),
        // What exists in tests only is named by tests only, or the crate would not build without them.
        (Some(_), None) if common == 0 && !opening.modules_for_tests().contains(to) => Some((
            format!("`{from}` uses `crate::{to}`, which is no module that {list} lists, nor a name lifted from one"),
            format!("list `{to}` below `{from}`; what {list} itself declares belongs into a module below its users"),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings of a crate whose `lib.rs` and other files are given.
    fn found(lib: &str, files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<(Vec<String>, Source)> = files
            .iter()
            .map(|(file, text)| (module_path(Path::new(file)), Source::parse(Path::new(file), text)))
            .collect();
        let findings = judge(&Source::parse(Path::new("lib.rs"), lib), &files);
        findings.into_iter().map(|finding| format!("{}:{}", finding.file.display(), finding.line)).collect()
    }

    #[test]
    fn a_module_uses_modules_below_it_only() {
        let lib =
            "pub mod top;\nmod middle;\nmod bottom;\n#[cfg(test)]\nmod fake;\npub use bottom::Word;\nstruct Own;\n";
        for (file, text, expected) in [
            ("top.rs", "use crate::{middle, bottom::Word};", false),
            ("bottom.rs", "use crate::middle::Thing;", true),
            ("bottom.rs", "fn f() { super::middle::g() }", true),
            ("middle.rs", "use crate::Word;", false),
            ("middle.rs", "use super::Word;", false),
            ("middle.rs", "use crate::Own;", true),
            ("middle.rs", "#[cfg(test)]\nuse crate::fake::X;", false),
            ("bottom/deep.rs", "use crate::bottom::Word;", false),
            ("bottom/deep.rs", "use super::super::top::X;", true),
            ("bottom.rs", "#[cfg(test)]\nmod tests {\n    use crate::top::X;\n}\n", false),
            ("middle.rs", "mod inline {\n    use super::top;\n}\n", false),
            ("middle.rs", "mod inline {\n    use super::super::top;\n}\n", true),
        ] {
            assert_eq!(!found(lib, &[(file, text)]).is_empty(), expected, "{file}: {text}");
        }
    }

    #[test]
    fn children_of_a_module_keep_the_order_too() {
        let lib = "mod a;\n";
        let parent = ("a.rs", "mod one;\nmod two;\nstruct Shared;\n");
        for (file, text, expected) in [
            ("a/one.rs", "use super::two::X;", false),
            ("a/two.rs", "use super::one::X;", true),
            ("a/two.rs", "use crate::a::one::X;", true),
            ("a/two.rs", "use super::Shared;", false),
        ] {
            assert_eq!(!found(lib, &[parent, (file, text)]).is_empty(), expected, "{file}: {text}");
        }
    }

    #[test]
    fn a_name_lifted_from_an_upper_module_leads_upward() {
        let lib = "mod top;\nmod bottom;\npub use top::Word;\n";
        assert_eq!(found(lib, &[("bottom.rs", "\nuse crate::Word;")]), ["bottom.rs:2"]);
    }
}
