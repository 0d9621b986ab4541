//! The commands of the language itself: filters, files, output, and the boilerplate of scripts that is taken as it comes.
//!
//! Takes what the evaluator bound, and a [`Context`](crate::context::Context) for all else; hands on values. One module for
//! each sort of command; the table of all stands here.

mod transcript;
mod invoke;
mod secret;
mod surroundings;
mod reach;
mod session;
mod refused;
mod mail;
mod help;
mod location;
mod path;
mod archive;
mod content;
mod item;
mod clixml;
mod json;
mod string_data;
mod csv;
mod html;
mod print;
mod write;
mod moment;
mod variable;
mod object;
mod group;
mod select;
mod filter;
mod file;
mod parameter;

use crate::context::StockCommand;

pub(crate) use path::path_info;

/// All of them.
pub fn commands() -> &'static [StockCommand] {
    COMMANDS
}

/// Why a command is one that this shell only has to refuse it; `None`: it is another.
pub fn why_refused(signature: &crate::command::Signature) -> Option<&'static str> {
    refused::why(signature)
}

static COMMANDS: &[StockCommand] = &[
    filter::WHERE,
    filter::FOR_EACH,
    select::SELECT,
    select::UNIQUE,
    group::SORT,
    group::GROUP,
    group::MEASURE,
    group::COMPARE,
    object::NEW_OBJECT,
    object::ADD_MEMBER,
    object::GET_MEMBER,
    object::TEE,
    variable::GET,
    variable::SET,
    variable::NEW,
    variable::REMOVE,
    variable::CLEAR,
    write::HOST,
    write::OUTPUT,
    write::WARNING,
    write::VERBOSE,
    write::DEBUG,
    write::INFORMATION,
    write::ERROR,
    write::PROGRESS,
    write::READ_HOST,
    write::PAUSE,
    write::CLEAR_HOST,
    print::FORMAT_LIST,
    print::FORMAT_TABLE,
    print::FORMAT_WIDE,
    print::FORMAT_CUSTOM,
    print::OUT_NULL,
    print::OUT_DEFAULT,
    print::OUT_HOST,
    print::OUT_STRING,
    print::OUT_FILE,
    print::OUT_GRID,
    content::GET,
    content::SET,
    content::ADD,
    content::CLEAR,
    content::SELECT_STRING,
    csv::IMPORT,
    csv::EXPORT,
    csv::FROM,
    csv::TO,
    json::TO,
    json::FROM,
    string_data::FROM,
    clixml::EXPORT,
    clixml::IMPORT,
    html::TO_HTML,
    moment::GET_DATE,
    moment::NEW_TIMESPAN,
    moment::SLEEP,
    moment::RANDOM,
    moment::MEASURE_COMMAND,
    moment::NEW_GUID,
    path::TEST_PATH,
    path::JOIN_PATH,
    path::SPLIT_PATH,
    path::RESOLVE_PATH,
    path::CONVERT_PATH,
    item::GET_ITEM,
    item::SET_ITEM,
    item::GET_CHILD_ITEM,
    item::NEW_ITEM,
    item::REMOVE_ITEM,
    item::COPY_ITEM,
    item::MOVE_ITEM,
    item::RENAME_ITEM,
    archive::COMPRESS,
    archive::EXPAND,
    location::GET_LOCATION,
    location::SET_LOCATION,
    location::PUSH_LOCATION,
    location::POP_LOCATION,
    help::GET_HELP,
    help::GET_COMMAND,
    help::GET_ALIAS,
    help::SET_ALIAS,
    help::NEW_ALIAS,
    transcript::START_TRANSCRIPT,
    transcript::STOP_TRANSCRIPT,
    invoke::INVOKE_EXPRESSION,
    invoke::INVOKE_COMMAND,
    session::IMPORT_MODULE,
    session::REMOVE_MODULE,
    session::GET_MODULE,
    session::ADD_SNAPIN,
    session::GET_SNAPIN,
    session::NEW_SESSION,
    session::NEW_SESSION_OPTION,
    session::GET_SESSION,
    session::IMPORT_SESSION,
    session::REMOVE_SESSION,
    session::SET_STRICT_MODE,
    session::SET_DEBUG,
    session::SET_EXECUTION_POLICY,
    session::GET_EXECUTION_POLICY,
    session::SET_AD_SERVER_SETTINGS,
    session::GET_AD_SERVER_SETTINGS,
    session::CONNECT_EXCHANGE_SERVER,
    session::ADD_TYPE,
    secret::GET_CREDENTIAL,
    secret::TO_SECURE_STRING,
    surroundings::GET_HOST,
    surroundings::GET_CULTURE,
    surroundings::GET_TIME_ZONE,
    surroundings::HOST_NAME,
    surroundings::WHO_AM_I,
    surroundings::GET_HISTORY,
    surroundings::RESOLVE_DNS,
    reach::TEST_CONNECTION,
    reach::TEST_NET_CONNECTION,
    refused::TEST_MAILFLOW,
    refused::QUEUE_DIGEST,
    refused::TRANSPORT_PIPELINE,
    refused::MAILBOX_STATISTICS,
    refused::MAILBOX_DATABASE,
    refused::CLIENT_ACCESS,
    refused::TRANSPORT_RULE,
    refused::GET_PROCESS,
    refused::START_PROCESS,
    refused::STOP_PROCESS,
    refused::RESTART_SERVICE,
    refused::START_SERVICE,
    refused::STOP_SERVICE,
    refused::GET_WMI,
    refused::GET_CIM,
    refused::INVOKE_WMI,
    refused::GET_EVENT_LOG,
    refused::GET_WIN_EVENT,
    refused::WRITE_EVENT_LOG,
    refused::GET_COUNTER,
    refused::GET_AD_USER,
    refused::GET_AD_COMPUTER,
    refused::GET_AD_GROUP,
    refused::GET_AD_OBJECT,
    mail::SEND,
    mail::ASSEMBLE,
    refused::WEB_REQUEST,
    refused::REST_METHOD,
    refused::START_JOB,
    refused::GET_ACL,
    refused::SET_ACL,
    refused::ENTER_SESSION,
    refused::CONNECT_ONLINE,
    refused::OUT_PRINTER,
    refused::FROM_SECURE_STRING,
];

/// Other names, as the original has them.
pub const ALIASES: &[(&str, &str)] = &[
    ("?", "Where-Object"),
    ("where", "Where-Object"),
    ("%", "ForEach-Object"),
    ("foreach", "ForEach-Object"),
    ("select", "Select-Object"),
    ("gu", "Get-Unique"),
    ("sort", "Sort-Object"),
    ("group", "Group-Object"),
    ("measure", "Measure-Object"),
    ("compare", "Compare-Object"),
    ("diff", "Compare-Object"),
    ("tee", "Tee-Object"),
    ("gm", "Get-Member"),
    ("gv", "Get-Variable"),
    ("sv", "Set-Variable"),
    ("set", "Set-Variable"),
    ("nv", "New-Variable"),
    ("rv", "Remove-Variable"),
    ("clv", "Clear-Variable"),
    ("echo", "Write-Output"),
    ("write", "Write-Output"),
    ("cls", "Clear-Host"),
    ("clear", "Clear-Host"),
    ("fl", "Format-List"),
    ("ft", "Format-Table"),
    ("fw", "Format-Wide"),
    ("fc", "Format-Custom"),
    ("oh", "Out-Host"),
    ("more", "Out-Host"),
    ("ogv", "Out-GridView"),
    ("gc", "Get-Content"),
    ("cat", "Get-Content"),
    ("type", "Get-Content"),
    ("sc", "Set-Content"),
    ("ac", "Add-Content"),
    ("clc", "Clear-Content"),
    ("sls", "Select-String"),
    ("ipcsv", "Import-Csv"),
    ("epcsv", "Export-Csv"),
    ("sleep", "Start-Sleep"),
    ("rvpa", "Resolve-Path"),
    ("cvpa", "Convert-Path"),
    ("gi", "Get-Item"),
    ("si", "Set-Item"),
    ("gci", "Get-ChildItem"),
    ("dir", "Get-ChildItem"),
    ("ls", "Get-ChildItem"),
    ("ni", "New-Item"),
    ("md", "New-Item"),
    ("mkdir", "New-Item"),
    ("ri", "Remove-Item"),
    ("rm", "Remove-Item"),
    ("del", "Remove-Item"),
    ("erase", "Remove-Item"),
    ("rd", "Remove-Item"),
    ("rmdir", "Remove-Item"),
    ("ci", "Copy-Item"),
    ("copy", "Copy-Item"),
    ("cp", "Copy-Item"),
    ("cpi", "Copy-Item"),
    ("mi", "Move-Item"),
    ("move", "Move-Item"),
    ("mv", "Move-Item"),
    ("rni", "Rename-Item"),
    ("ren", "Rename-Item"),
    ("gl", "Get-Location"),
    ("pwd", "Get-Location"),
    ("sl", "Set-Location"),
    ("cd", "Set-Location"),
    ("chdir", "Set-Location"),
    ("pushd", "Push-Location"),
    ("popd", "Pop-Location"),
    ("help", "Get-Help"),
    ("man", "Get-Help"),
    ("gcm", "Get-Command"),
    ("gal", "Get-Alias"),
    ("sal", "Set-Alias"),
    ("nal", "New-Alias"),
    ("iex", "Invoke-Expression"),
    ("icm", "Invoke-Command"),
    ("ipmo", "Import-Module"),
    ("rmo", "Remove-Module"),
    ("gmo", "Get-Module"),
    ("asnp", "Add-PSSnapin"),
    ("gsnp", "Get-PSSnapin"),
    ("nsn", "New-PSSession"),
    ("gsn", "Get-PSSession"),
    ("ipsn", "Import-PSSession"),
    ("rsn", "Remove-PSSession"),
    ("history", "Get-History"),
    ("ghy", "Get-History"),
    ("gps", "Get-Process"),
    ("ps", "Get-Process"),
    ("gwmi", "Get-WmiObject"),
    ("gcim", "Get-CimInstance"),
    ("iwr", "Invoke-WebRequest"),
    ("wget", "Invoke-WebRequest"),
    ("curl", "Invoke-WebRequest"),
    ("irm", "Invoke-RestMethod"),
    ("sajb", "Start-Job"),
    ("saps", "Start-Process"),
    ("start", "Start-Process"),
    ("kill", "Stop-Process"),
    ("nslookup", "Resolve-DnsName"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alias_leads_to_a_command_and_no_name_is_taken_twice() {
        let mut names: Vec<String> =
            COMMANDS.iter().map(|command| command.signature.name.to_ascii_lowercase()).collect();
        for (alias, target) in ALIASES {
            assert!(COMMANDS.iter().any(|command| command.signature.name == *target), "{alias} {target}");
            names.push(alias.to_ascii_lowercase());
        }
        names.sort();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn parameters_of_a_command_differ_and_positions_follow_each_other() {
        for command in COMMANDS {
            let parameters = command.signature.parameters;
            let mut names: Vec<String> = parameters
                .iter()
                .flat_map(|one| one.aliases.iter().copied().chain([one.name]))
                .map(str::to_ascii_lowercase)
                .collect();
            names.sort();
            let before = names.len();
            names.dedup();
            assert_eq!(names.len(), before, "{}", command.signature.name);
            let mut positions: Vec<u8> = parameters.iter().filter_map(|one| one.position).collect();
            positions.sort_unstable();
            assert!(
                positions.iter().enumerate().all(|(at, position)| at == usize::from(*position)),
                "{}",
                command.signature.name
            );
        }
    }
}
