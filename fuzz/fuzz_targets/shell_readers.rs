//! Files that scripts read: no bytes make a reader of CLIXML, CSV, JSON or XML panic or go beyond its limits, and a table that was
//! read from CSV is written and read as the same.
#![no_main]

use std::rc::Rc;

use gatepost_shell::limits::Limits;
use gatepost_shell::session::{Output, Session};
use gatepost_shell::source::Source;
use libfuzzer_sys::fuzz_target;
use made::{MadeCommands, MadeWorld};

#[allow(dead_code)]
#[path = "../../crates/shell/tests/made/mod.rs"]
mod made;

/// What is done with the file `in`; the first byte of the input chooses. A script that finds something wrong exits with 99.
const SCRIPTS: [&str; 6] = [
    "$x = Import-Clixml in; $x | Export-Clixml out; $null = Import-Clixml out; $null = $x | ConvertTo-Json -Depth 5",
    "$x = @(Import-Csv in); $x | Export-Csv out -NoTypeInformation; $y = @(Import-Csv out)
     if ($x.Count -and (($x | ConvertTo-Csv) -join '|') -cne (($y | ConvertTo-Csv) -join '|')) { exit 99 }",
    "$x = @(Get-Content in | ConvertFrom-Csv -Delimiter ';' -Header a, b, c); $null = $x | ConvertTo-Html -Fragment; $null = $x | Format-Table | Out-String",
    "$x = Get-Content in -Raw | ConvertFrom-Json; $j = ConvertTo-Json $x -Depth 100 -Compress
     if ($null -ne $x -and (ConvertTo-Json (ConvertFrom-Json $j) -Depth 100 -Compress) -cne $j) { exit 99 }",
    "[xml]$x = Get-Content in -Raw; $o = $x.OuterXml; if (([xml]$o).OuterXml -cne $o) { exit 99 }; $null = $x.SelectNodes('//*').Count",
    "$null = Get-Content in -Raw | ConvertFrom-StringData; $null = Select-String -Path in -Pattern '(.)=(.*)' -AllMatches",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else { return };
    let script = SCRIPTS[usize::from(*first) % SCRIPTS.len()];
    let world = MadeWorld::default();
    world.files.borrow_mut().insert("/work/in".to_owned(), text.to_vec());
    // Less than what the fuzzer takes for a leak.
    let limits = Limits { memory_bytes: 256 << 20, ..Limits::default() };
    let mut session = Session::new(Box::new(world), Rc::new(MadeCommands), limits);
    let outcome = session.run(Source::new("fuzz", script), Output::Screen);
    assert_ne!(outcome.exit_code, 99, "{script}");
});
