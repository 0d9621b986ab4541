//! What recipients look like to administrators: Exchange's properties, those first that all sorts have.

use gatepost_shell::value::View;

use crate::object::PropertyKind::{Bool, Identity, Int, List, Size, Text, Unlimited};
use crate::object::{Property, Shape, Usual, property};

const NOTHING: Usual = Usual::Null;
const NO: Usual = Usual::Bool(false);
const NONE: Usual = Usual::Texts(&[]);
const UNLIMITED: Usual = Usual::Text("unlimited");

/// What every recipient has. Those that nothing here keeps are shown as they are for everybody.
const SHARED: [Property; 22] = [
    property("PrimarySmtpAddress", "address", Text, NOTHING),
    property("EmailAddresses", "email_addresses", List(&Text), NONE),
    property("EmailAddressPolicyEnabled", "email_address_policy_enabled", Bool, NO),
    property("DisplayName", "display_name", Text, NOTHING),
    property("Alias", "alias", Text, NOTHING),
    property("RequireSenderAuthenticationEnabled", "require_sender_authentication", Bool, NO),
    property("GrantSendOnBehalfTo", "grant_send_on_behalf_to", List(&Text), NONE),
    property("SendAs", "send_as", List(&Text), NONE),
    property("ForwardingAddress", "forwarding_address", Text, NOTHING),
    property("ForwardingSmtpAddress", "forwarding_smtp_address", Text, NOTHING),
    property("DeliverToMailboxAndForward", "deliver_to_mailbox_and_forward", Bool, NO),
    property("MaxSendSize", "max_send_size", Unlimited(&Size), UNLIMITED),
    property("MaxReceiveSize", "max_receive_size", Unlimited(&Size), UNLIMITED),
    property("RecipientLimits", "recipient_limits", Unlimited(&Int), UNLIMITED),
    property("AcceptMessagesOnlyFrom", "accept_messages_only_from", List(&Text), NONE),
    property("RejectMessagesFrom", "reject_messages_from", List(&Text), NONE),
    property("ModerationEnabled", "moderation_enabled", Bool, NO),
    property("ModeratedBy", "moderated_by", List(&Text), NONE),
    property("RecipientType", "recipient_type", Text, NOTHING),
    property("RecipientTypeDetails", "recipient_type_details", Text, NOTHING),
    property("Name", "name", Text, NOTHING),
    property("Identity", "identity", Identity, NOTHING),
];

/// The shared properties with those of one sort before the last two.
const fn with<const N: usize, const ALL: usize>(own: [Property; N]) -> [Property; ALL] {
    assert!(SHARED.len() + N == ALL, "the length of both tables");
    let last = SHARED.len() - 2;
    let mut all = [SHARED[0]; ALL];
    let mut place = 0;
    while place < ALL {
        all[place] = if place < last {
            SHARED[place]
        } else if place < last + N {
            own[place - last]
        } else {
            SHARED[place - N]
        };
        place += 1;
    }
    all
}

static MAILBOX_VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.Mailbox",
    table: &["Name", "Alias", "PrimarySmtpAddress"],
    identity: "Identity",
};
static CONTACT_VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.MailContact",
    table: &["Name", "Alias", "ExternalEmailAddress"],
    identity: "Identity",
};
static GROUP_VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.DistributionGroup",
    table: &["Name", "DisplayName", "GroupType", "PrimarySmtpAddress"],
    identity: "Identity",
};
static RECIPIENT_VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.ReducedRecipient",
    table: &["Name", "RecipientType", "PrimarySmtpAddress"],
    identity: "Identity",
};

/// A mailbox.
pub static MAILBOX: Shape = Shape { name: "Mailbox", view: &MAILBOX_VIEW, properties: &SHARED };

const EXTERNAL: Property = property("ExternalEmailAddress", "external_address", Text, NOTHING);

/// A mail contact.
pub static CONTACT: Shape = Shape { name: "MailContact", view: &CONTACT_VIEW, properties: &CONTACT_PROPERTIES };
static CONTACT_PROPERTIES: [Property; 23] = with([EXTERNAL]);

/// A distribution group.
pub static GROUP: Shape = Shape { name: "DistributionGroup", view: &GROUP_VIEW, properties: &GROUP_PROPERTIES };
static GROUP_PROPERTIES: [Property; 26] = with([
    property("GroupType", "group_type", Text, Usual::Text("Universal")),
    property("ReportToManagerEnabled", "report_to_manager_enabled", Bool, NO),
    property("ReportToOriginatorEnabled", "report_to_originator_enabled", Bool, Usual::Bool(true)),
    property("Members", "members", List(&Text), NONE),
]);

/// Any of them.
pub static RECIPIENT: Shape =
    Shape { name: "ReducedRecipient", view: &RECIPIENT_VIEW, properties: &CONTACT_PROPERTIES };
