//! The rules of the architecture, executed: the core names no socket, clock,
//! task, file or global, and no module uses one of a layer above it.
//!
//! ```text
//! main → cli → net, admin → connection → service → s13 → base → wire
//! service → policy → equipment        lists → equipment
//! ```
//!
//! The scanner reads tokens, not lines: comments, texts and `#[cfg(test)]`
//! items do not count, groups in `use` are taken apart, and `super` is
//! followed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

//----------- The rules -------------------------------------------------------

/// A module of the core: what it may use of this crate besides itself.
struct Layer {
    /// The first name of its path.
    module: &'static str,
    /// Modules below it.
    below: &'static [&'static str],
}

/// The core, from the bottom. `time` holds two plain numbers, `names` a pattern,
/// and both are below all.
const CORE: [Layer; 11] = [
    Layer {
        module: "time",
        below: &[],
    },
    Layer {
        module: "names",
        below: &[],
    },
    Layer {
        module: "wire",
        below: &["time"],
    },
    Layer {
        module: "base",
        below: &["time", "names", "wire"],
    },
    Layer {
        module: "s13",
        below: &["time", "wire", "base"],
    },
    Layer {
        module: "equipment",
        below: &["time"],
    },
    Layer {
        module: "snapshot",
        below: &["time", "equipment"],
    },
    Layer {
        module: "changes",
        below: &["time", "equipment"],
    },
    Layer {
        module: "policy",
        below: &["time", "names", "equipment"],
    },
    Layer {
        module: "service",
        below: &["time", "wire", "base", "s13", "equipment", "policy"],
    },
    Layer {
        module: "connection",
        below: &[
            "time",
            "wire",
            "base",
            "s13",
            "equipment",
            "policy",
            "service",
        ],
    },
];

/// Paths that the core must not name, by their beginning, and why.
const BANNED_PATHS: [(&[&str], &str); 15] = [
    (&["tokio"], "a task"),
    (&["tokio_util"], "a task"),
    (&["socket2"], "a socket"),
    (&["tracing"], "a log"),
    (&["std", "net"], "a socket"),
    (&["core", "net"], "a socket's address"),
    (&["std", "thread"], "a thread"),
    (&["std", "fs"], "a file"),
    (&["std", "io"], "a stream"),
    (&["std", "process"], "a process"),
    (&["std", "env"], "the environment"),
    (&["std", "os"], "the system"),
    (&["std", "sync", "mpsc"], "a channel"),
    (&["std", "sync", "atomic"], "shared state"),
    (&["arc_swap"], "shared state"),
];

/// Names that must not stand anywhere in a path of the core.
const BANNED_NAMES: [(&str, &str); 9] = [
    ("Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("Mutex", "a lock"),
    ("RwLock", "a lock"),
    ("Condvar", "a lock"),
    ("OnceLock", "a global"),
    ("LazyLock", "a global"),
    ("OnceCell", "a global"),
    ("LazyCell", "a global"),
];

/// Macros that the core must not call.
const BANNED_MACROS: [&str; 7] = [
    "println",
    "print",
    "eprintln",
    "eprint",
    "dbg",
    "thread_local",
    "include_bytes",
];

/// Where a rule does not hold: file, what it may name, and why.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "policy/register.rs",
    "arc_swap",
    "publishing a rulebook to all connections is one atomic pointer",
)];

//----------- The scanner -----------------------------------------------------

/// A piece of source text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name or keyword.
    Name(String),
    /// A character; `:` twice stands for a path's `::`.
    Sign(char),
}

/// The tokens of `source`, without comments, texts, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        let now = at(index);
        if now == '/' && at(index + 1) == '/' {
            while index < chars.len() && at(index) != '\n' {
                index += 1;
            }
        } else if now == '/' && at(index + 1) == '*' {
            let mut depth = 1;
            index += 2;
            while index < chars.len() && depth > 0 {
                match (at(index), at(index + 1)) {
                    ('/', '*') => depth += 1,
                    ('*', '/') => depth -= 1,
                    _ => {
                        index += 1;
                        continue;
                    }
                }
                index += 2;
            }
        } else if now == '"' {
            index = behind_text(&chars, index);
        } else if now == '\'' {
            index = behind_quote(&chars, index);
        } else if now.is_alphabetic() || now == '_' {
            let start = index;
            while at(index).is_alphanumeric() || at(index) == '_' {
                index += 1;
            }
            let name: String = chars[start..index].iter().collect();
            let raw = name.ends_with('r') && name.len() <= 2;
            if raw && (at(index) == '"' || at(index) == '#') && text_behind(&chars, index) {
                index = behind_raw_text(&chars, index);
            } else if !(matches!(name.as_str(), "b" | "c") && matches!(at(index), '"' | '\'')) {
                tokens.push(Token::Name(name));
            }
        } else {
            if !now.is_whitespace() {
                tokens.push(Token::Sign(now));
            }
            index += 1;
        }
    }
    tokens
}

/// Whether only `#` stands between here and a quotation mark.
fn text_behind(chars: &[char], index: usize) -> bool {
    chars[index..].iter().find(|char| **char != '#') == Some(&'"')
}

/// The index behind the raw text whose `#` or quotation mark is here.
fn behind_raw_text(chars: &[char], index: usize) -> usize {
    let hashes = chars[index..]
        .iter()
        .take_while(|char| **char == '#')
        .count();
    let mut end = index + hashes + 1;
    while end < chars.len() {
        let closing = &chars[end + 1..(end + 1 + hashes).min(chars.len())];
        if chars[end] == '"' && closing.len() == hashes && closing.iter().all(|c| *c == '#') {
            return end + 1 + hashes;
        }
        end += 1;
    }
    end
}

/// The index behind the text whose quotation mark is here.
fn behind_text(chars: &[char], index: usize) -> usize {
    let mut end = index + 1;
    while end < chars.len() && chars[end] != '"' {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    end + 1
}

/// The index behind the character or lifetime whose quote is here.
fn behind_quote(chars: &[char], index: usize) -> usize {
    match (chars.get(index + 1), chars.get(index + 2)) {
        (Some('\\'), _) => {
            let rest = &chars[index + 3..];
            let closing = rest.iter().position(|char| *char == '\'');
            closing.map_or(chars.len(), |closing| index + 3 + closing + 1)
        }
        (Some(_), Some('\'')) => index + 3,
        _ => index + 1,
    }
}

/// `tokens` without the items that `#[cfg(test)]` stands in front of.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mark: Vec<Token> = self::tokens("#[cfg(test)]");
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if tokens[index..].starts_with(&mark) {
            index = behind_item(&tokens, index + mark.len());
        } else {
            kept.push(tokens[index].clone());
            index += 1;
        }
    }
    kept
}

/// The index behind the item that begins here: behind its first semicolon or
/// its first pair of braces.
fn behind_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            Token::Sign(';') if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// All paths in `tokens`, groups taken apart; a macro's name ends in `!`.
fn paths(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if matches!(tokens[index], Token::Name(_)) {
            index = read_path(tokens, index, &mut Vec::new(), &mut found);
        } else {
            index += 1;
        }
    }
    found
}

/// Whether a `::` stands here.
fn is_separator(tokens: &[Token], index: usize) -> bool {
    tokens.get(index..index + 2) == Some(&[Token::Sign(':'), Token::Sign(':')])
}

/// Reads one path behind `prefix`, adds it (all of it, for a group) to `found`,
/// and returns the index behind it.
fn read_path(
    tokens: &[Token],
    start: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let depth = prefix.len();
    let mut index = start;
    loop {
        match tokens.get(index) {
            Some(Token::Name(name)) => {
                prefix.push(name.clone());
                index += 1;
            }
            Some(Token::Sign('{')) => {
                index += 1;
                while !matches!(tokens.get(index), None | Some(Token::Sign('}'))) {
                    index = match tokens.get(index) {
                        Some(Token::Name(_)) => read_path(tokens, index, prefix, found),
                        _ => index + 1,
                    };
                }
                prefix.truncate(depth);
                return index + 1;
            }
            // A glob, or generics.
            _ => break,
        }
        let keyword = matches!(
            prefix.last().map(String::as_str),
            Some("use" | "as" | "in" | "return" | "dyn" | "impl" | "mut" | "for" | "where")
        );
        if is_separator(tokens, index) && !keyword {
            index += 2;
        } else {
            break;
        }
    }
    let mut path = prefix.clone();
    let called = tokens.get(index) == Some(&Token::Sign('!'))
        && tokens.get(index + 1) != Some(&Token::Sign('='));
    if let (true, Some(last)) = (called, path.last_mut()) {
        last.push('!');
    }
    found.push(path);
    prefix.truncate(depth);
    index
}

/// What `source`, the text of `file` (its path below `src`), does against the
/// rules of its layer.
fn violations(layer: &Layer, file: &str, source: &str) -> Vec<String> {
    let tokens = without_tests(tokens(source));
    let mut found = BTreeSet::new();
    for pair in tokens.windows(2) {
        if let [Token::Name(first), Token::Name(second)] = pair
            && (first.as_str(), second.as_str()) == ("static", "mut")
        {
            found.insert("static mut: a global".to_owned());
        }
    }
    for path in paths(&tokens) {
        for (banned, why) in BANNED_PATHS {
            let excepted = EXCEPTIONS
                .iter()
                .any(|(at, what, _)| *at == file && banned == [*what]);
            let hit = path.len() >= banned.len() && path.iter().zip(banned).all(|(a, b)| a == b);
            if hit && !excepted {
                found.insert(format!("{}: {why}", path.join("::")));
            }
        }
        for (name, why) in BANNED_NAMES {
            if path.iter().any(|part| part == name) {
                found.insert(format!("{}: {why}", path.join("::")));
            }
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "now") {
            found.insert(format!("{}: a clock", path.join("::")));
        }
        let last = path.last().and_then(|last| last.strip_suffix('!'));
        if last.is_some_and(|last| BANNED_MACROS.contains(&last)) {
            found.insert(format!("{}: output or a global", path.join("::")));
        }
        if let Some(module) = module_of(file, &path)
            && module != layer.module
            && !layer.below.contains(&module.as_str())
        {
            found.insert(format!("{}: a higher layer", path.join("::")));
        }
    }
    found.into_iter().collect()
}

/// The module of the first level that `path`, named in `file`, leads to; `None`
/// if it leads out of the crate or stays where it is.
fn module_of(file: &str, path: &[String]) -> Option<String> {
    let mut here: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if here.last() == Some(&"mod") {
        here.pop();
    }
    let mut rest = path.iter().map(String::as_str).peekable();
    match rest.peek().copied()? {
        // In a macro's expansion, `$crate` is the same.
        "crate" | "weir" => {
            rest.next();
            here.clear();
        }
        "super" => {
            while rest.next_if_eq(&"super").is_some() {
                here.pop();
            }
        }
        _ => return None,
    }
    here.extend(rest);
    here.first().map(|module| (*module).to_owned())
}

//----------- The sources -----------------------------------------------------

/// The folder of the sources.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files below `folder`, by their paths below `src`, with their text.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let below = path.strip_prefix(sources()).expect("below src");
            let parts: Vec<_> = below
                .components()
                .map(|part| part.as_os_str().to_string_lossy())
                .collect();
            found.push((parts.join("/"), text));
        }
    }
    found
}

/// The module of the first level that a file belongs to.
fn top(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

//----------- Tests -----------------------------------------------------------

#[test]
fn the_core_is_pure_and_its_layers_point_down() {
    let files = files(&sources());
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for layer in &CORE {
        for (file, text) in files.iter().filter(|(file, _)| top(file) == layer.module) {
            assert!(!tokens(text).is_empty(), "{file} is empty");
            seen.insert(layer.module);
            for violation in violations(layer, file, text) {
                problems.push(format!("src/{file}: {violation}"));
            }
        }
    }
    assert_eq!(seen.len(), CORE.len(), "a module was not found: {seen:?}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Lists are read from files, so they are no part of the core; but they know
/// nothing of Diameter either, and nothing of a shell.
#[test]
fn lists_know_equipment_only() {
    knows_only(
        "lists",
        &["lists", "compile", "equipment", "time", "nearest"],
    );
}

/// So it is with what puts rules together.
#[test]
fn compiling_knows_equipment_and_snapshots_only() {
    knows_only("compile", &["compile", "equipment", "snapshot"]);
}

/// Checks that a module uses no others than these, and no task.
fn knows_only(module: &str, allowed: &[&str]) {
    let files = files(&sources());
    let own: Vec<_> = (files.iter())
        .filter(|(file, _)| top(file) == module)
        .collect();
    assert!(!own.is_empty());
    for (file, text) in own {
        for path in paths(&without_tests(tokens(text))) {
            let may_use = |module: &str| allowed.contains(&module);
            assert!(
                module_of(file, &path).is_none_or(|module| may_use(&module)),
                "src/{file}: {}",
                path.join("::")
            );
            assert_ne!(path.first().map(String::as_str), Some("tokio"), "{file}");
        }
    }
}

/// What is swapped is swapped in one place.
#[test]
fn the_swap_has_one_place() {
    let users: Vec<String> = files(&sources())
        .into_iter()
        .filter(|(_, text)| {
            paths(&without_tests(tokens(text)))
                .iter()
                .any(|path| path[0] == "arc_swap")
        })
        .map(|(file, _)| file)
        .collect();
    assert_eq!(users, ["policy/register.rs"]);
}

/// An exception that is not needed any more must go.
#[test]
fn every_exception_is_needed() {
    let files = files(&sources());
    for (file, name, why) in EXCEPTIONS {
        assert!(!why.is_empty());
        let text = &files.iter().find(|(at, _)| at == file).expect("the file").1;
        let used = paths(&tokens(text)).iter().any(|path| path[0] == name);
        assert!(used, "{file} does not name {name}");
    }
}

//----------- Tests of the scanner --------------------------------------------

/// The layer of `wire`.
fn wire() -> &'static Layer {
    &CORE[2]
}

/// What the scanner finds in a file of `wire`.
fn found(source: &str) -> Vec<String> {
    violations(wire(), "wire/avp.rs", source)
}

#[test]
fn planted_violations_are_found() {
    for source in [
        "use tokio::net::TcpStream;",
        "use ::tokio;",
        "impl ::tokio::io::AsyncRead for A {}",
        "use a as b; use ::std::io;",
        "async fn f() { tokio::spawn(g()).await }",
        "use std::net::SocketAddr;",
        "use std::{fmt, net::IpAddr};",
        "use std::{collections::{HashMap}, io::{self, Read}};",
        "fn f() { std::thread::sleep(d) }",
        "fn f() { std :: fs :: read(p); }",
        "use std::time::Instant;",
        "use std::time::{Duration, SystemTime};",
        "fn f(at: Instant) {}",
        "fn f() { let now = SystemTime::now(); }",
        "fn f() { jiff::Timestamp::now(); }",
        "fn f() { tracing::info!(\"x\"); }",
        "use tracing as log;",
        "fn f() { println!(\"{}\", 1) }",
        "fn f() { std::eprintln!() }",
        "fn f() { dbg!(1); }",
        "static mut COUNT: u32 = 0;",
        "thread_local! { static A: u8 = 0; }",
        "use std::sync::{Arc, Mutex};",
        "static A: std::sync::RwLock<u8> = x;",
        "static A: OnceLock<u8> = OnceLock::new();",
        "use std::sync::LazyLock as Lazy;",
        "use std::sync::atomic::AtomicU64;",
        "use arc_swap::ArcSwap;",
        "use std::env;",
        "fn f() { std::process::exit(1) }",
        "use crate::base::Node;",
        "use crate::equipment::Imei;",
        "use crate::{time::Now, policy};",
        "fn f(imei: crate::equipment::Imei) {}",
        "use super::super::net;",
        "use super::super::{time, cli::run};",
        "pub(in crate::connection) fn f() {}",
        "fn f() { $crate::service::answer() }",
        // Behind things that could hide it.
        "/* a /* nested */ comment */ use tokio::net;",
        "const A: &str = \"a \\\" b\"; use tokio::net;",
        "const A: &str = r#\"a \" b\"#; use tokio::net;",
        "const A: char = '\"'; use tokio::net; const B: char = '\"';",
        "const A: u8 = b'\\''; use tokio::net;",
        "fn f<'a>(a: &'a str) {} use tokio::net;",
        "#[cfg(test)] mod tests { use x; } use tokio::net;",
        "#[cfg(test)] use x; use tokio::net;",
        "#[cfg(not(test))] use tokio::net;",
    ] {
        assert!(!found(source).is_empty(), "{source}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for source in [
        "",
        "// use tokio::net;\n/// [`std::net::IpAddr`]\n//! println!()",
        "/* use tokio; /* std::fs */ std::io */",
        "const A: &str = \"tokio::net println!()\";",
        "const A: &str = r##\"use tokio::\"# net;\"##;",
        "const A: &[u8] = b\"tokio::net\"; const B: &[u8] = br\"tokio::net\";",
        "#[cfg(test)] mod tests { use std::net::IpAddr; fn f() { println!(); } }",
        "#[cfg(test)] pub(crate) mod tests { mod a { use crate::net; } }",
        "#[cfg(test)] use crate::base::Node;",
        "use std::{fmt, collections::HashMap}; use core::time::Duration;",
        "use super::avp; use super::{code::AvpKey, header}; use crate::wire::Avp;",
        "use crate::time::{Now, Uptime}; use super::super::time;",
        "fn f(now: Now) -> u64 { now.uptime }",
        "fn f() { write!(out, \"x\"); matches!(a, b); }",
        "fn tracing_is_off(instant: u8) { let a = tracing != b; }",
        "mod net { } fn f() { net::connect() }",
    ] {
        // A bare name that is also a crate's would be found; this one is a
        // variable's, and stands for the limits of the scanner.
        let found: Vec<_> = found(source)
            .into_iter()
            .filter(|violation| !violation.starts_with("tracing:"))
            .collect();
        assert!(found.is_empty(), "{source}: {found:?}");
    }
}

#[test]
fn wire_and_equipment_never_meet() {
    for (module, other) in [("wire", "equipment"), ("equipment", "wire")] {
        let layer = CORE.iter().find(|layer| layer.module == module);
        let layer = layer.expect("a layer");
        let source = format!("use crate::{other}::X;");
        let file = format!("{module}/mod.rs");
        assert_eq!(violations(layer, &file, &source).len(), 1);
        let source = format!("use super::{other}::X;");
        assert_eq!(violations(layer, &file, &source).len(), 1);
    }
}

#[test]
fn no_layer_points_up() {
    for (at, layer) in CORE.iter().enumerate() {
        for below in layer.below {
            let place = CORE.iter().position(|other| other.module == *below);
            assert!(place.is_some_and(|place| place < at), "{below}");
        }
    }
}

#[test]
fn only_the_excepted_file_may_swap() {
    let policy = CORE.iter().find(|layer| layer.module == "policy");
    let policy = policy.expect("a layer");
    let source = "use arc_swap::ArcSwap;";
    assert!(violations(policy, "policy/register.rs", source).is_empty());
    assert_eq!(violations(policy, "policy/rulebook.rs", source).len(), 1);
    let other = "use tokio::net;";
    assert_eq!(violations(policy, "policy/register.rs", other).len(), 1);
}
