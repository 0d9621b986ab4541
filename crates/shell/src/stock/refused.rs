//! What cannot be done here, refused by name: commands of scripts that reach the Windows machine, its domain, the network, or
//! parts of Exchange that there are none of.
//!
//! They take any arguments, so that the refusal is what an administrator reads, not a quarrel about parameters.

use crate::command::{Call, Kind, Parameter, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::fault::{Category, Fault};
use crate::value::Value;

use super::parameter::{SIGNATURE, named};

pub(super) const IGNORED: Parameter = named("Arguments", Kind::Ignored, "Whatever is given.");

/// A command that is refused: its name, and what it would do.
const fn refused(signature: &'static Signature) -> StockCommand {
    StockCommand { signature, make: || Box::new(Refused) }
}

struct Refused;

impl Stage for Refused {
    fn process(&mut self, _context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let mut fault = Fault::new(
            Category::InvalidOperation,
            format!("{} is not done by this shell: {}", call.signature.name, call.signature.synopsis),
        );
        fault.exception = "System.NotSupportedException";
        fault.target = Some(call.signature.name.to_owned());
        Err(fault)
    }
}

/// The parameters of all that is refused, and of nothing else: they tell such a signature from others.
static WHATEVER: [Parameter; 1] = [IGNORED];

/// Why a command is refused; `None`: it is not.
pub(super) fn why(signature: &Signature) -> Option<&'static str> {
    std::ptr::eq(signature.parameters, WHATEVER.as_slice()).then_some(signature.synopsis)
}

/// One signature: name, other names, reason.
const fn of(name: &'static str, aliases: &'static [&'static str], synopsis: &'static str) -> Signature {
    Signature { name, aliases, synopsis, parameters: &WHATEVER, ..SIGNATURE }
}

const MACHINE: &str = "it reaches the Windows machine.";
const SERVICES: &str = "it reaches the services of the Windows machine. Whether Gatepost runs is told by Get-Service, whether it takes mail by Get-ServerComponentState; systemctl starts and stops it.";
const LOGS: &str = "it reaches the event log of the Windows machine. Gatepost's log goes to the system's journal; Get-MessageTrackingLog searches messages.";
const DOMAIN: &str =
    "it reaches the directory of a Windows domain. Gatepost's own recipients are told by Get-Recipient.";
const WEB: &str = "it opens connections of its own; use curl, and read its result by Get-Content.";
const PROGRAMS: &str = "it starts programs; start them outside of the shell.";
const JOBS: &str = "it runs scripts beside this one; run them one after another.";
const RIGHTS: &str = "it reaches access lists of Windows files. Get-ADPermission tells of those of connectors.";
const REMOTE: &str = "it opens a session on another machine.";
const CLOUD: &str = "it reaches the cloud service.";

const FLOW: &str = "it sends a message between databases. Test-SmtpConnectivity tries the connectors; a message of Send-MailMessage is followed by Get-MessageTrackingLog or Search-Trace.";
const DIGEST: &str =
    "it adds up the queues of several servers. Get-Queue | Group-Object NextHopDomain does so for this one.";
const AGENTS: &str = "it lists the agents of Exchange's pipeline, which are none here. Get-MessageTrackingLog and Search-Trace tell the steps that a message took; Test-Relay those of a decision.";
const SIZES: &str = "it reads sizes and times of mailboxes in a database. Get-Mailbox lists the mailboxes; what they got is told by Get-MessageTrackingLog -EventId DELIVER -Recipients.";
const DATABASES: &str = "it is about databases of mailboxes, which are none here. Mailboxes are folders: Get-Mailbox.";
const CLIENTS: &str =
    "it is about a web server for Outlook and phones, which is none here. Get-ReceiveConnector tells who may connect.";
const RULES: &str = "it is about rules that Gatepost does not have. Connectors (Get-ReceiveConnector, Get-ADPermission) say who may send what.";

static S_TEST_MAILFLOW: Signature = of("Test-Mailflow", &[], FLOW);
static S_QUEUE_DIGEST: Signature = of("Get-QueueDigest", &[], DIGEST);
static S_PIPELINE: Signature = of(
    "Get-TransportPipeline",
    &["Get-TransportAgent", "Enable-TransportAgent", "Disable-TransportAgent", "Set-TransportAgent"],
    AGENTS,
);
static S_MAILBOX_STATISTICS: Signature =
    of("Get-MailboxStatistics", &["Get-MailboxFolderStatistics", "Get-MailboxPermission"], SIZES);
static S_DATABASE: Signature = of(
    "Get-MailboxDatabase",
    &[
        "Set-MailboxDatabase",
        "Mount-Database",
        "Dismount-Database",
        "Get-MailboxDatabaseCopyStatus",
        "Get-DatabaseAvailabilityGroup",
        "Test-ReplicationHealth",
    ],
    DATABASES,
);
static S_CLIENT_ACCESS: Signature = of(
    "Get-OwaVirtualDirectory",
    &[
        "Get-EcpVirtualDirectory",
        "Get-WebServicesVirtualDirectory",
        "Get-ActiveSyncVirtualDirectory",
        "Get-OabVirtualDirectory",
        "Get-PowerShellVirtualDirectory",
        "Get-MapiVirtualDirectory",
        "Get-OutlookAnywhere",
        "Get-ClientAccessService",
        "Get-ClientAccessServer",
        "Test-OutlookConnectivity",
    ],
    CLIENTS,
);
static S_TRANSPORT_RULE: Signature = of(
    "Get-TransportRule",
    &[
        "New-TransportRule",
        "Set-TransportRule",
        "Remove-TransportRule",
        "Enable-TransportRule",
        "Disable-TransportRule",
    ],
    RULES,
);

static S_GET_PROCESS: Signature = of("Get-Process", &[], MACHINE);
static S_START_PROCESS: Signature = of("Start-Process", &[], PROGRAMS);
static S_STOP_PROCESS: Signature = of("Stop-Process", &[], MACHINE);
static S_RESTART_SERVICE: Signature = of("Restart-Service", &[], SERVICES);
static S_START_SERVICE: Signature = of("Start-Service", &[], SERVICES);
static S_STOP_SERVICE: Signature = of("Stop-Service", &["Set-Service"], SERVICES);
static S_WMI: Signature = of(
    "Get-WmiObject",
    &["Get-ItemProperty", "Set-ItemProperty", "New-ItemProperty", "Get-ItemPropertyValue"],
    MACHINE,
);
static S_CIM: Signature = of("Get-CimInstance", &["New-CimSession", "Invoke-CimMethod"], MACHINE);
static S_INVOKE_WMI: Signature = of("Invoke-WmiMethod", &["Set-WmiInstance", "Register-WmiEvent"], MACHINE);
static S_EVENT_LOG: Signature = of("Get-EventLog", &["New-EventLog", "Clear-EventLog"], LOGS);
static S_WIN_EVENT: Signature = of("Get-WinEvent", &[], LOGS);
static S_WRITE_EVENT: Signature = of("Write-EventLog", &[], LOGS);
static S_COUNTER: Signature = of(
    "Get-Counter",
    &[
        "Get-NetAdapter",
        "Get-NetIPAddress",
        "Get-NetIPConfiguration",
        "Get-NetTCPConnection",
        "New-NetFirewallRule",
        "Get-WindowsFeature",
        "Install-WindowsFeature",
    ],
    MACHINE,
);
static S_AD_USER: Signature = of("Get-ADUser", &["Set-ADUser", "New-ADUser"], DOMAIN);
static S_AD_COMPUTER: Signature =
    of("Get-ADComputer", &["Get-ADDomainController", "Get-ADDomain", "Get-ADForest", "Get-ADRootDSE"], DOMAIN);
static S_AD_GROUP: Signature = of("Get-ADGroup", &["Get-ADGroupMember", "Add-ADGroupMember"], DOMAIN);
static S_AD_OBJECT: Signature = of("Get-ADObject", &["Set-ADObject"], DOMAIN);
static S_WEB: Signature = of("Invoke-WebRequest", &[], WEB);
static S_REST: Signature = of("Invoke-RestMethod", &[], WEB);
static S_JOB: Signature = of(
    "Start-Job",
    &["Get-Job", "Receive-Job", "Wait-Job", "Remove-Job", "Register-ScheduledTask", "Register-ObjectEvent"],
    JOBS,
);
static S_ACL: Signature = of("Get-Acl", &[], RIGHTS);
static S_SET_ACL: Signature = of("Set-Acl", &[], RIGHTS);
static S_ENTER: Signature = of("Enter-PSSession", &["Exit-PSSession"], REMOTE);
static S_ONLINE: Signature =
    of("Connect-ExchangeOnline", &["Connect-MsolService", "Connect-AzureAD", "Connect-MgGraph"], CLOUD);
static S_PRINTER: Signature = of("Out-Printer", &[], MACHINE);
static S_FROM_SECURE: Signature = of(
    "ConvertFrom-SecureString",
    &[],
    "it would write a secret in a form that the key of a Windows account protects.",
);

pub(super) const TEST_MAILFLOW: StockCommand = refused(&S_TEST_MAILFLOW);
pub(super) const QUEUE_DIGEST: StockCommand = refused(&S_QUEUE_DIGEST);
pub(super) const TRANSPORT_PIPELINE: StockCommand = refused(&S_PIPELINE);
pub(super) const MAILBOX_STATISTICS: StockCommand = refused(&S_MAILBOX_STATISTICS);
pub(super) const MAILBOX_DATABASE: StockCommand = refused(&S_DATABASE);
pub(super) const CLIENT_ACCESS: StockCommand = refused(&S_CLIENT_ACCESS);
pub(super) const TRANSPORT_RULE: StockCommand = refused(&S_TRANSPORT_RULE);
pub(super) const GET_PROCESS: StockCommand = refused(&S_GET_PROCESS);
pub(super) const START_PROCESS: StockCommand = refused(&S_START_PROCESS);
pub(super) const STOP_PROCESS: StockCommand = refused(&S_STOP_PROCESS);
pub(super) const RESTART_SERVICE: StockCommand = refused(&S_RESTART_SERVICE);
pub(super) const START_SERVICE: StockCommand = refused(&S_START_SERVICE);
pub(super) const STOP_SERVICE: StockCommand = refused(&S_STOP_SERVICE);
pub(super) const GET_WMI: StockCommand = refused(&S_WMI);
pub(super) const GET_CIM: StockCommand = refused(&S_CIM);
pub(super) const INVOKE_WMI: StockCommand = refused(&S_INVOKE_WMI);
pub(super) const GET_EVENT_LOG: StockCommand = refused(&S_EVENT_LOG);
pub(super) const GET_WIN_EVENT: StockCommand = refused(&S_WIN_EVENT);
pub(super) const WRITE_EVENT_LOG: StockCommand = refused(&S_WRITE_EVENT);
pub(super) const GET_COUNTER: StockCommand = refused(&S_COUNTER);
pub(super) const GET_AD_USER: StockCommand = refused(&S_AD_USER);
pub(super) const GET_AD_COMPUTER: StockCommand = refused(&S_AD_COMPUTER);
pub(super) const GET_AD_GROUP: StockCommand = refused(&S_AD_GROUP);
pub(super) const GET_AD_OBJECT: StockCommand = refused(&S_AD_OBJECT);
pub(super) const WEB_REQUEST: StockCommand = refused(&S_WEB);
pub(super) const REST_METHOD: StockCommand = refused(&S_REST);
pub(super) const START_JOB: StockCommand = refused(&S_JOB);
pub(super) const GET_ACL: StockCommand = refused(&S_ACL);
pub(super) const SET_ACL: StockCommand = refused(&S_SET_ACL);
pub(super) const ENTER_SESSION: StockCommand = refused(&S_ENTER);
pub(super) const CONNECT_ONLINE: StockCommand = refused(&S_ONLINE);
pub(super) const OUT_PRINTER: StockCommand = refused(&S_PRINTER);
pub(super) const FROM_SECURE_STRING: StockCommand = refused(&S_FROM_SECURE);
