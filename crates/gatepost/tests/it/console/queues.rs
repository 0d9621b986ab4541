//! The queue viewer: what waits is seen as it comes, held back, sent another way, taken out, or removed.

use gatepost_testkit::programs::SmtpSink;

use super::{Console, request};
use crate::site::{CONTOSO, HOST_3, OPEN_TO_TESTS, message, to_sink};

#[test]
fn queues_and_messages_are_acted_upon_with_real_effect() {
    let sink = SmtpSink::start();
    let way_out = format!(
        "\n[[send_connector]]\nname = \"Way out\"\naddress_spaces = [\"SMTP:out.example;1\"]\nsmart_hosts = [\"{}\"]\n",
        sink.smart_host()
    );
    // Nobody listens at the smart host of everything else.
    let console = Console::signed_in(&[CONTOSO, OPEN_TO_TESTS, &to_sink("[127.0.0.1]:1"), &way_out]);
    let browser = &console.browser;
    let submit = |subject: &str| {
        let mut client = console.site.client(HOST_3);
        let taken = client.submit("<app@contoso.com>", &["someone@example.net"], &message(subject, "Text."));
        assert_eq!(taken.code(), 250, "{taken}");
        taken.queue_id()
    };
    let first = submit("first");
    console.open("/");
    browser.follow("Queues");
    browser.wait_for_text("[127.0.0.1]:1");

    // A queue.
    browser.tick("Queue ");
    browser.press("Suspend");
    console.wait_until_said("Suspended");
    browser.wait_for_text("Suspended");
    browser.tick("Queue ");
    browser.press("Resume");
    console.wait_until_said("Resumed");
    assert!(!browser.texts("tbody .badge").contains(&"Suspended".to_owned()), "{}", browser.page_text());
    browser.tick("Queue ");
    browser.press("Retry");
    console.wait_until_said("Trying again");

    // A message that comes is seen without asking again.
    browser.follow("Messages");
    browser.wait_for_text("first");
    submit("second");
    browser.wait_for_text("second");

    // One message: held, taken out as a file, and sent another way.
    console.open(&format!("/queues/messages/{first}"));
    browser.wait_for_text("first");
    assert!(browser.text("pre").contains("Subject: first"), "{}", browser.page_text());
    browser.press("Suspend");
    console.wait_until_said("Suspended");
    let path = format!("/queues/messages/{first}/export");
    assert!(browser.has(&format!("a[href='{path}']")), "{}", browser.page_text());
    let exported = request(console.door(), "GET", &path, &[("Cookie", &console.cookie())], "");
    assert_eq!(exported.status, 200, "{}", exported.body);
    assert!(exported.head.contains("content-disposition: attachment"), "{}", exported.head);
    assert!(exported.body.contains("Subject: first\r\n"), "{}", exported.body);
    browser.choose("Redirect to", "Way out");
    browser.press("Redirect");
    console.wait_until_said("Redirected");
    console.open("/queues/messages");
    browser.tick(&format!("Message {first} from"));
    browser.press("Resume");
    let arrived = sink.wait_for(1);
    assert!(arrived[0].content.contains("Subject: first"), "{arrived:?}");

    // The other is removed, and nobody is told.
    console.open("/queues/messages");
    browser.wait_for_text("second");
    browser.tick("All messages on this page");
    browser.press_and_confirm("Remove (without NDR)");
    browser.wait_for_text("No message");
    console.expect_no_complaints();

    let acts = console.site.installation.json(&["acts"]);
    let acts = acts.as_array().into_iter().flatten();
    let carols: Vec<_> =
        acts.filter(|act| act["actor"].as_str().is_some_and(|actor| actor.contains("carol"))).collect();
    for name in ["Set-Queue", "Set-Message", "Export-Message"] {
        assert!(carols.iter().any(|act| act["act"] == name), "{name} is on record: {carols:#?}");
    }
}
