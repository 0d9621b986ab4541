//! Reports and notices: what the settings say of them, whom they go to, and what goes back.

use gatepost_mail::{Mailbox, Return, Status};
use gatepost_policy::notify::{self, Kind, ReportSettings};
use std::time::Duration;

use crate::document::{problems, settings};

const CONTOSO: &str = "[[accepted_domain]]\nname = 'contoso.com'\n";

#[test]
fn without_a_word_reports_are_as_exchange_makes_them() {
    let reports = settings(CONTOSO).reports;
    assert_eq!(reports, ReportSettings::default());
    assert_eq!(reports.delay_notification_timeout, Duration::from_secs(4 * 3600));
    assert_eq!((reports.internal.attach_bytes_max, reports.external.attach_bytes_max), (10 << 20, 10 << 20));
    assert_eq!((reports.sender_reports_per_hour, reports.notices_per_hour), (100, 6));
    assert!(reports.internal.delay_enabled && reports.external.delay_enabled && reports.notices_enabled);
}

#[test]
fn every_key_has_its_place() {
    let reports = settings(
        "[transport]\ndelay_notification_timeout = '00:30:00'\n\
         [reports]\ninternal_delay_dsn_enabled = false\nexternal_dsn_max_message_attach_size = '1 MB'\n\
         internal_dsn_max_message_attach_size = 0\nexternal_dsn_reporting_authority = 'contoso.com'\n\
         external_dsn_send_html = false\ngenerate_copy_of_dsn_for = ['5.4.6', '5.4.8']\n\
         max_per_sender_per_hour = 'unlimited'\n\
         [notices]\nenabled = false\nto = 'ops@contoso.com'\nmax_per_owner_per_hour = 3\n",
    )
    .reports;
    assert!(!reports.internal.delay_enabled && reports.external.delay_enabled);
    assert_eq!((reports.internal.attach_bytes_max, reports.external.attach_bytes_max), (0, 1 << 20));
    assert_eq!(reports.internal.reporting_authority, None);
    assert_eq!(reports.external.reporting_authority.as_ref().map(|name| name.as_str()), Some("contoso.com"));
    assert_eq!(*reports.generate_copy_of_dsn_for, [Status::new(5, 4, 6), Status::new(5, 4, 8)]);
    assert!(reports.wants_copy(Status::new(5, 4, 8)) && !reports.wants_copy(Status::new(5, 1, 1)));
    assert_eq!((reports.sender_reports_per_hour, reports.notices_per_hour), (0, 3));
    assert_eq!((reports.notices_enabled, reports.notices_to.is_some()), (false, true));
    assert_eq!(reports.delay_notification_timeout.as_secs(), 30 * 60);
}

#[test]
fn what_cannot_be_is_refused_with_its_remedy() {
    for (document, message) in [
        ("[reports]\nexternal_dsn_send_html = true\n", "plain text"),
        ("[reports]\ngenerate_copy_of_dsn_for = ['5.4']\n", "no enhanced status code"),
        ("[reports]\nmax_per_sender_per_hour = 0\n", "out of bounds"),
        ("[reports]\ninternal_dsn_default_language = 'de'\n", "not supported yet"),
        ("[notices]\nto = 'nobody'\n", "no address"),
        ("[notices]\nmax_per_owner_per_hour = 0\n", "out of bounds"),
        ("[transport]\ndelay_notification_timeout = '00:00:00'\n", "out of bounds"),
        (
            "[[send_connector]]\nname = 'x'\naddress_spaces = '*'\nmasquerade_domains = '*.internal'\n",
            "nothing says by which name",
        ),
        (
            "[[send_connector]]\nname = 'x'\naddress_spaces = '*'\nmasquerade_as = 'contoso.com'\n",
            "nothing says which domains",
        ),
    ] {
        let problems = problems(document);
        let [problem] = &problems[..] else { panic!("{document}: {problems:?}") };
        assert!(problem.message.contains(message) && !problem.remedy.is_empty(), "{document}: {problem:?}");
    }
}

#[test]
fn the_original_goes_back_with_news_of_failure_where_it_is_wanted_and_small() {
    let side = ReportSettings::default().external;
    for (kind, wanted, size_bytes, expected) in [
        (Kind::Failed, None, 10 << 20, true),
        (Kind::Failed, Some(Return::Full), 1, true),
        (Kind::Failed, Some(Return::Full), (10 << 20) + 1, false),
        (Kind::Failed, Some(Return::Headers), 1, false),
        (Kind::Delayed, Some(Return::Full), 1, false),
        (Kind::Delivered, None, 1, false),
    ] {
        assert_eq!(notify::returns_original(kind, wanted, size_bytes, &side), expected, "{kind:?} {wanted:?}");
    }
}

#[test]
fn what_a_remote_domain_may_not_hear_does_not_go_there() {
    let settings = settings(&format!(
        "{CONTOSO}[[remote_domain]]\nname = '*'\nndr_enabled = false\n\
         [[remote_domain]]\nname = 'y.example'\ndelivery_report_enabled = false\nndr_diagnostic_info_enabled = false\n"
    ));
    for (to, failed, delivered, inside) in
        [("a@contoso.com", true, true, true), ("a@x.example", false, true, true), ("a@y.example", true, false, false)]
    {
        let to = Mailbox::parse(to).expect("an address");
        let may_go = |kind| notify::may_go(kind, &to, &settings.domains, &settings.remote_domains);
        assert_eq!((may_go(Kind::Failed), may_go(Kind::Delayed), may_go(Kind::Delivered)), (failed, failed, delivered));
        assert_eq!(notify::may_name_inside(&to, &settings.domains, &settings.remote_domains), inside, "{to}");
    }
}

#[test]
fn who_is_in_an_accepted_domain_is_inside() {
    let settings = settings(&format!("{CONTOSO}[reports]\ninternal_dsn_max_message_attach_size = 7\n"));
    let bytes = |address: &str| {
        let address = Mailbox::parse(address).expect("an address");
        settings.reports.side(&address, &settings.domains).attach_bytes_max
    };
    assert_eq!((bytes("bob@contoso.com"), bytes("bob@fabrikam.com")), (7, 10 << 20));
}
