//! Queues under one thread and under many.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gatepost_mail::{MessageId, Priority, Reply};

use super::*;

fn entry(id: u64) -> Entry {
    Entry { id: MessageId(id), recipients: Indices::One(0), arrival_ms: id, priority: Priority::Normal, missed: 0 }
}

fn push(queues: &Queues, key: QueueKey, entry: Entry, due_ms: Option<u64>) {
    assert_eq!(queues.push(1, key, None, entry, due_ms), Ok(()));
}

/// A connection that could not be opened.
fn fail(queue: &DeliveryQueue) -> u32 {
    queue.connection_failed("refused").in_a_row
}

fn only_queue(queues: &Queues) -> Arc<DeliveryQueue> {
    queues.all().pop().expect("one queue")
}

#[test]
fn the_first_entry_asks_for_one_worker_and_a_pile_for_more() {
    let (queues, mut requests) = Queues::new(20);
    for id in 0..41 {
        push(&queues, QueueKey::Local, entry(id), None);
    }
    let mut wanted = 0;
    while requests.try_recv().is_ok() {
        wanted += 1;
    }
    assert_eq!(wanted, 3, "one for each 20 entries");
}

#[test]
fn entries_come_out_in_order_and_none_is_lost() {
    let (queues, _requests) = Queues::new(20);
    for id in 0..3 {
        push(&queues, QueueKey::Local, entry(id), None);
    }
    let queue = only_queue(&queues);
    queue.worker_started();
    let Work::Entry(first) = queue.next() else { panic!("work") };
    assert_eq!(first.id, MessageId(0));
    queues.put_back(&queue, first, None).expect("the queue is there");
    let ids: Vec<_> = std::iter::from_fn(|| match queue.next() {
        Work::Entry(entry) => Some(entry.id.0),
        _ => None,
    })
    .collect();
    assert_eq!(ids, [0, 1, 2]);
    for id in ids {
        queues.done(&queue, MessageId(id));
    }
    queues.worker_ended(&queue);
    assert!(queues.all().is_empty(), "an empty queue goes");
}

#[test]
fn nothing_waits_for_workers_whose_attempts_take_long() {
    let (queues, mut requests) = Queues::new(3);
    let key = || QueueKey::Send {
        connector: "Internet".into(),
        next_hop: gatepost_policy::route::NextHop::Domain(gatepost_mail::Domain::parse("x.net").expect("a domain")),
        instead_of: None,
    };
    push(&queues, key(), entry(0), None);
    let queue = requests.try_recv().expect("a worker for the first entry");
    for slow in 1..=3 {
        queue.worker_started();
        assert!(matches!(queue.next(), Work::Entry(_)));
        push(&queues, key(), entry(slow), None);
        assert!(requests.try_recv().is_err(), "one worker is enough for one entry");
        queues.worker_slow(&queue);
        assert_eq!(requests.try_recv().is_ok(), slow < 3, "another one, as long as the queue may have more");
    }
    queues.worker_quick(&queue);
    push(&queues, key(), entry(4), None);
    assert!(requests.try_recv().is_err(), "a worker is quick again");
}

#[test]
fn of_a_deferral_a_queue_keeps_the_codes_and_not_whom_it_was_about() {
    let (queues, _requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), Some(1_000));
    let queue = only_queue(&queues);
    for (reply, kept) in [
        (Reply::new(451, (4, 2, 2), "<bob@fabrikam.com> mailbox full"), "451 4.2.2"),
        (Reply::plain(450, "bob@fabrikam.com: come again"), "450"),
    ] {
        queue.note_deferral(&reply);
        assert_eq!(queue.snapshot().last_deferral.as_deref(), Some(kept));
    }
}

#[test]
fn a_blocked_queue_gives_no_work_until_its_time_or_until_it_is_hurried() {
    let (queues, mut requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    requests.try_recv().expect("a worker is wanted");
    let queue = only_queue(&queues);
    queue.worker_started();
    queues.block(&queue, 1_000);
    assert_eq!(queue.next(), Work::Stop);
    queues.worker_ended(&queue);
    push(&queues, QueueKey::Local, entry(2), None);
    assert!(requests.try_recv().is_err(), "no worker for a blocked queue");
    queues.promote(&queue, 999);
    assert!(requests.try_recv().is_err());
    assert_eq!(queues.hurry(|_| true, |entry| entry.id == MessageId(2)), 1);
    requests.try_recv().expect("a worker is wanted again");
}

#[test]
fn a_next_hop_that_was_down_is_tried_by_one_worker_and_then_by_as_many_as_there_is_work_for() {
    let (queues, mut requests) = Queues::new(20);
    for id in 0..60 {
        push(&queues, QueueKey::Local, entry(id), None);
    }
    let mut wanted = || std::iter::from_fn(|| requests.try_recv().ok()).count();
    assert_eq!(wanted(), 3);
    let queue = only_queue(&queues);
    for _ in 0..3 {
        queue.worker_started();
    }
    assert_eq!(fail(&queue), 1);
    queues.block(&queue, 1_000);
    let shorter = queues.block(&queue, 999);
    (0..3).for_each(|_| queues.worker_ended(&queue));
    assert_eq!(wanted(), 0);
    queues.unblock(&queue, shorter);
    assert_eq!(wanted(), 0, "it waits for another time");
    for due_ms in [1_000, 2_000] {
        queues.promote(&queue, due_ms);
        assert_eq!(wanted(), 1, "one finds out");
        queue.worker_started();
        push(&queues, QueueKey::Local, entry(100 + due_ms), None);
        queues.worker_slow(&queue);
        assert_eq!(wanted(), 0, "nobody else, however long it takes");
        queues.worker_quick(&queue);
        if due_ms == 1_000 {
            assert_eq!(fail(&queue), 2);
            queues.block(&queue, 2_000);
            queues.worker_ended(&queue);
        }
    }
    queues.connected(&queue);
    assert_eq!(wanted(), 3, "62 entries deserve 4 workers, and one is there");
}

#[test]
fn a_wait_is_known_again_when_the_wall_clock_was_set_back_meanwhile() {
    let (queues, mut requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    let queue = only_queue(&queues);
    queue.worker_started();
    let wait = queues.block(&queue, 1_000);
    queues.worker_ended(&queue);
    while requests.try_recv().is_ok() {}
    queues.clock.lag_more(60_000);
    assert!(queue.is_in(wait, 1));
    queues.unblock(&queue, wait);
    assert!(!queue.is_in(wait, 0));
    requests.try_recv().expect("it goes on");
}

#[test]
fn what_is_due_later_comes_when_its_time_has_come() {
    let (queues, mut requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), Some(500));
    push(&queues, QueueKey::Local, entry(2), Some(400));
    assert!(requests.try_recv().is_err());
    let queue = only_queue(&queues);
    queues.promote(&queue, 450);
    queue.worker_started();
    assert!(matches!(queue.next(), Work::Entry(entry) if entry.id == MessageId(2)));
    assert_eq!(queue.next(), Work::Nothing);
    queues.promote(&queue, 500);
    assert!(matches!(queue.next(), Work::Entry(entry) if entry.id == MessageId(1)));
}

#[test]
fn a_queue_that_left_the_table_takes_no_more_entries() {
    let (queues, _requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    let old = only_queue(&queues);
    old.worker_started();
    let Work::Entry(taken) = old.next() else { panic!("work") };
    queues.done(&old, MessageId(1));
    queues.worker_ended(&old);
    // workers_wanted of the first push has not been used up: the queue stays.
    old.worker_started();
    queues.worker_ended(&old);
    assert!(queues.all().is_empty());
    push(&queues, QueueKey::Local, taken, None);
    assert_eq!(only_queue(&queues).snapshot().entries, 1);
    assert_eq!(old.snapshot().entries, 0);
}

#[test]
fn when_routes_change_what_waits_is_handed_out_and_what_comes_back_is_given_back() {
    let (queues, _requests) = Queues::new(20);
    for (id, due_ms) in [(1, None), (2, Some(1_000)), (3, None)] {
        push(&queues, QueueKey::Local, entry(id), due_ms);
    }
    let old = only_queue(&queues);
    old.worker_started();
    let Work::Entry(in_flight) = old.next() else { panic!("work") };
    let waited: Vec<_> =
        queues.begin_routes(2, |_| None).waited.into_iter().flat_map(|waited| waited.entries).collect();
    assert_eq!(waited, [(entry(3), None), (entry(2), Some(1_000))]);
    assert_eq!(old.next(), Work::Stop);
    assert_eq!(queues.put_back(&old, in_flight.clone(), None), Err(in_flight.clone()));
    assert_eq!(queues.push(1, QueueKey::Local, None, in_flight.clone(), None), Err(in_flight.clone()));
    assert_eq!(queues.push(2, QueueKey::Local, None, in_flight, None), Ok(()));
    let new = only_queue(&queues);
    queues.worker_ended(&old);
    assert!(Arc::ptr_eq(&new, &only_queue(&queues)), "the end of an old worker does not concern the new queue");
    assert_eq!(queues.ring(u64::MAX), None, "the alarm of the old queue is gone");
}

#[test]
fn when_routes_change_a_queue_whose_way_stays_the_same_keeps_its_number_and_waits_on() {
    let (queues, mut requests) = Queues::new(20);
    queues.set_limits(Limits { connections_max: 20, by_priority: None, idle_max_ms: 60_000 });
    push(&queues, QueueKey::Refused, entry(9), None);
    push(&queues, QueueKey::Local, entry(1), None);
    push(&queues, QueueKey::Local, entry(2), Some(5_000_000));
    let old = queues.find(&QueueKey::Local).expect("it is there");
    fail(&old);
    queues.block(&old, 1_000_000);
    while requests.try_recv().is_ok() {}
    for is_same_way in [true, false] {
        let before = queues.find(&QueueKey::Local).expect("it is there").snapshot();
        let heir =
            |queue: &DeliveryQueue| (queue.key == QueueKey::Local).then_some(Heir { connector: None, is_same_way });
        let Rerouted { waited, heirs } = queues.begin_routes(2, heir);
        let [heir] = &heirs[..] else { panic!("of one only") };
        assert_eq!((heir.number, queues.all().len()), (2, 1), "it is there before anything has been routed");
        heir.worker_started();
        queues.worker_ended(heir);
        assert_eq!(queues.all().len(), 1, "and stays until all has been");
        let (heir, waited) = (heir.clone(), waited.into_iter().find(|waited| waited.queue.key == QueueKey::Local));
        for (entry, due_ms) in waited.into_iter().flat_map(|waited| waited.entries) {
            assert_eq!(queues.push(2, QueueKey::Local, None, entry, due_ms), Ok(()));
        }
        queues.release(&heirs);
        let now = heir.snapshot();
        assert_eq!((now.entries, now.deferred), (2, 1));
        if is_same_way {
            let state = |of: &Snapshot| (of.failures, of.last_error.clone(), of.first_failure_ms, of.blocked_until_ms);
            assert_eq!(now.blocked_until_ms, Some(1_000_000));
            assert_eq!(state(&now), state(&before));
            assert_eq!(
                heir.lock().ready.iter().map(|(entry, missed)| (entry.id.0, missed)).collect::<Vec<_>>(),
                [(1, 1)]
            );
        } else {
            assert_eq!((now.failures, now.last_error), (0, None), "another way is tried at once");
            assert!(requests.try_recv().is_ok());
        }
    }
}

#[test]
fn a_queue_that_left_the_table_while_it_was_blocked_sets_no_alarm_any_more() {
    let (queues, _requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    let old = only_queue(&queues);
    old.worker_started();
    assert_eq!(old.next(), Work::Entry(entry(1)));
    queues.block(&old, 1_000);
    queues.begin_routes(2, |_| None);
    // The attempt that is still being made turns out to take long. Nobody would ever take the alarm away.
    queues.worker_slow(&old);
    assert!(queues.alarms().is_empty());
}

#[test]
fn a_queue_has_one_alarm_however_often_it_is_blocked() {
    let (queues, _requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    push(&queues, QueueKey::Local, entry(2), Some(1_000_000));
    let queue = only_queue(&queues);
    for second in 0..100 {
        queues.block(&queue, second * 1_000 + 500);
        assert_eq!(queues.alarms().len(), 1);
        assert_eq!(queues.ring(second * 1_000), Some(second * 1_000 + 500));
        assert_eq!(queues.ring(second * 1_000 + 999), Some(1_000_000));
    }
}

#[test]
fn old_entries_are_found_wherever_they_stand_even_when_the_queue_is_blocked() {
    let (queues, _requests) = Queues::new(20);
    for id in [50, 3, 60, 2] {
        push(&queues, QueueKey::Local, entry(id), None);
    }
    let queue = only_queue(&queues);
    queues.block(&queue, 1_000);
    queue.bring_forward(|entry| entry.arrival_ms < 10);
    let old: Vec<_> =
        std::iter::from_fn(|| queue.next_older(|entry| entry.arrival_ms < 10)).map(|entry| entry.id.0).collect();
    assert_eq!(old, [3, 2]);
    assert_eq!((queue.snapshot().entries, queue.snapshot().in_flight), (4, 2));
}

#[test]
fn a_pile_that_becomes_due_at_once_gets_more_than_the_idle_worker() {
    let (queues, mut requests) = Queues::new(20);
    for id in 0..100 {
        push(&queues, QueueKey::Local, entry(id), Some(500));
    }
    let queue = only_queue(&queues);
    queue.worker_started();
    queue.lock().idle_workers = 1;
    queues.ring(500);
    let wanted = std::iter::from_fn(|| requests.try_recv().ok()).count();
    assert_eq!(wanted, 4, "five for a hundred, one of which is there");
}

#[tokio::test]
async fn an_idle_worker_is_woken_by_work_and_by_the_end_of_its_queue() {
    let (queues, _requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    let queue = only_queue(&queues);
    queue.worker_started();
    let Work::Entry(held) = queue.next() else { panic!("work") };
    let wait = queue.wait_for_work();
    tokio::pin!(wait);
    let idle = std::future::poll_fn(|context| std::task::Poll::Ready(wait.as_mut().poll(context).is_pending()));
    assert!(idle.await, "nothing to do yet");
    push(&queues, QueueKey::Local, entry(2), None);
    wait.await;
    assert_eq!(queue.next(), Work::Entry(entry(2)));
    let ends = async { queues.begin_routes(2, |_| None) };
    tokio::join!(queue.wait_for_work(), ends);
    assert_eq!(queues.put_back(&queue, held.clone(), None), Err(held));
}

/// Many threads do everything at once that is done to queues; in the end each entry has been worked on once.
/// Nobody but the channel and the alarms says where work is, so a lost wake-up would leave entries behind.
#[test]
fn no_entry_is_lost_or_doubled_whatever_happens_at_once() {
    const PUSHERS: u64 = 4;
    const ENTRIES_EACH: u64 = 3_000;
    let (queues, requests) = Queues::new(3);
    let (queues, requests) = (&queues, &Mutex::new(requests));
    let done: Vec<AtomicU32> = (0..PUSHERS * ENTRIES_EACH).map(|_| AtomicU32::new(0)).collect();
    let (done, routes, clock) = (&done, &AtomicU64::new(1), &AtomicU64::new(1));
    let pushing = &AtomicU32::new(PUSHERS as u32);
    let keys = [QueueKey::Local, QueueKey::Refused, QueueKey::Unreachable];
    let route = |mut entry: Entry, due_ms: Option<u64>| {
        let key = &keys[(entry.id.0 % 3) as usize];
        while let Err(back) = queues.push(routes.load(Ordering::SeqCst), key.clone(), None, entry, due_ms) {
            entry = back;
        }
    };
    let put_back = |queue: &Arc<DeliveryQueue>, entry: Entry, due_ms: Option<u64>| {
        if let Err(entry) = queues.put_back(queue, entry, due_ms) {
            route(entry, due_ms);
        }
    };
    let work = |queue: &Arc<DeliveryQueue>, chance: &mut u64| {
        queue.worker_started();
        while let Work::Entry(entry) = queue.next() {
            *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let soon_ms = clock.load(Ordering::Relaxed) + 2;
            match (*chance >> 33) % 16 {
                0 => put_back(queue, entry, None),
                1 | 2 => put_back(queue, entry, Some(soon_ms)),
                3 => {
                    put_back(queue, entry, None);
                    queues.block(queue, soon_ms);
                }
                4 => {
                    put_back(queue, entry, None);
                    break;
                }
                _ => {
                    done[entry.id.0 as usize].fetch_add(1, Ordering::Relaxed);
                    queues.done(queue, entry.id);
                }
            }
        }
        queues.worker_ended(queue);
    };
    let next_request = || requests.lock().expect("no panic").try_recv().ok();
    std::thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            scope.spawn(move || {
                for number in 0..ENTRIES_EACH {
                    let id = pusher * ENTRIES_EACH + number;
                    let due_ms = id.is_multiple_of(5).then(|| clock.load(Ordering::Relaxed) + id % 7);
                    route(entry(id), due_ms);
                }
                pushing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for seed in 0..3 {
            scope.spawn(move || {
                let mut chance = seed;
                while pushing.load(Ordering::SeqCst) > 0 {
                    match next_request() {
                        Some(queue) => work(&queue, &mut chance),
                        None => std::thread::yield_now(),
                    }
                }
            });
        }
        scope.spawn(move || {
            let mut turn = 0;
            while pushing.load(Ordering::SeqCst) > 0 {
                turn += 1;
                queues.ring(clock.fetch_add(1, Ordering::Relaxed));
                for (queue, entry, due_ms) in
                    queues.take_messages(&HashSet::from([MessageId(turn % done.len() as u64)]))
                {
                    put_back(&queue, entry, due_ms);
                }
                if turn % 16 == 0 {
                    queues.hurry(|_| true, |entry| entry.id.0 % 2 == 0);
                }
                if turn % 64 == 0 {
                    let heir = |queue: &DeliveryQueue| {
                        (queue.key != QueueKey::Refused).then_some(Heir { connector: None, is_same_way: true })
                    };
                    let Rerouted { waited, heirs } =
                        queues.begin_routes(routes.fetch_add(1, Ordering::SeqCst) + 1, heir);
                    for (entry, due_ms) in waited.into_iter().flat_map(|waited| waited.entries) {
                        route(entry, due_ms);
                    }
                    queues.release(&heirs);
                }
            }
        });
    });
    let mut chance = 7;
    loop {
        while let Some(queue) = next_request() {
            work(&queue, &mut chance);
        }
        match queues.ring(u64::MAX - 1_000) {
            None if requests.lock().expect("no panic").is_empty() => break,
            _ => {}
        }
    }
    let wrong: Vec<_> = done.iter().map(|done| done.load(Ordering::Relaxed)).filter(|done| *done != 1).collect();
    assert!(wrong.is_empty(), "{} entries were not worked on just once: {wrong:?}", wrong.len());
    assert!(queues.all().is_empty(), "empty queues go");
}

#[test]
fn a_message_can_be_taken_out_wherever_it_waits() {
    let (queues, _requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    push(&queues, QueueKey::Unreachable, entry(1), None);
    push(&queues, QueueKey::Local, entry(1), Some(10));
    push(&queues, QueueKey::Local, entry(2), Some(10));
    let taken = queues.take_messages(&HashSet::from([MessageId(1)]));
    assert_eq!(taken.len(), 3);
    assert_eq!(queues.all().iter().map(|queue| queue.snapshot().in_flight).sum::<u64>(), 3);
    for (queue, entry, _) in taken {
        queues.done(&queue, entry.id);
    }
    assert_eq!(queues.all().iter().map(|queue| queue.snapshot().entries).sum::<u64>(), 1);
}

#[test]
fn a_suspended_queue_takes_entries_and_gives_no_work_until_it_goes_on() {
    let (queues, mut requests) = Queues::new(20);
    queues.set_suspended(["local delivery".to_owned()].into_iter());
    push(&queues, QueueKey::Local, entry(1), None);
    push(&queues, QueueKey::Local, entry(2), Some(500));
    assert!(requests.try_recv().is_err());
    assert_eq!(queues.ring(1_000), None, "no alarm");
    let queue = only_queue(&queues);
    queue.worker_started();
    assert_eq!(queue.next(), Work::Stop);
    queues.worker_ended(&queue);
    assert!(queue.snapshot().suspended);
    queues.set_suspended(std::iter::empty());
    requests.try_recv().expect("a worker is wanted");
    queue.worker_started();
    assert_eq!(queue.next(), Work::Entry(entry(1)));
    assert_eq!(queues.ring(1_000), None);
    assert_eq!(queue.next(), Work::Entry(entry(2)));
}

#[test]
fn what_is_held_back_is_no_work_and_is_taken_with_its_message() {
    let (queues, mut requests) = Queues::new(20);
    push(&queues, QueueKey::Local, entry(1), None);
    requests.try_recv().expect("a worker is wanted");
    let queue = only_queue(&queues);
    queue.worker_started();
    assert_eq!(queue.next(), Work::Entry(entry(1)));
    assert_eq!(queues.hold(&queue, entry(1)), Ok(()));
    assert_eq!(queues.push_held(1, QueueKey::Local, None, entry(2)), Ok(()));
    assert_eq!(queue.next(), Work::Nothing);
    queues.worker_ended(&queue);
    let snapshot = queue.snapshot();
    assert_eq!((snapshot.entries, snapshot.held, snapshot.in_flight), (2, 2, 0));
    assert_eq!(queues.all().len(), 1, "a queue with something in it stays");
    let mut taken = queues.take_messages(&HashSet::from([MessageId(1), MessageId(2)]));
    assert_eq!(taken.len(), 2);
    let (queue, first, due_ms) = taken.swap_remove(0);
    assert_eq!(queues.put_back(&queue, first, due_ms), Ok(()));
    requests.try_recv().expect("what is released is work");
}

#[test]
fn an_empty_queue_stays_for_a_while_and_a_thousand_of_them_at_most() {
    let (queues, mut requests) = Queues::new(20);
    queues.set_limits(Limits { connections_max: 20, by_priority: None, idle_max_ms: 60_000 });
    let now = crate::clock::now_ms();
    let mut serve = |key: QueueKey| {
        push(&queues, key, entry(1), None);
        let queue = requests.try_recv().expect("a worker is wanted");
        queue.worker_started();
        assert_eq!(queue.next(), Work::Entry(entry(1)));
        queues.done(&queue, MessageId(1));
        queues.worker_ended(&queue);
    };
    serve(QueueKey::Local);
    assert_eq!(queues.all().len(), 1);
    queues.ring(now + 30_000);
    assert_eq!(queues.all().len(), 1);
    // Used again, it begins to wait anew.
    serve(QueueKey::Local);
    assert_eq!(only_queue(&queues).number, 1);
    queues.ring(now + 600_000);
    assert!(queues.all().is_empty());
    for number in 0..1_010 {
        let domain = gatepost_mail::Domain::parse(&format!("d{number}.net")).expect("a domain");
        let next_hop = gatepost_policy::route::NextHop::Domain(domain);
        serve(QueueKey::Send { connector: "Internet".into(), next_hop, instead_of: None });
    }
    assert_eq!(queues.all().len(), 1_000);
}

#[test]
fn no_priority_takes_more_than_its_share_of_the_connections() {
    let (queues, mut requests) = Queues::new(20);
    queues.set_limits(Limits { connections_max: 20, by_priority: Some([1, 2, 1]), idle_max_ms: 0 });
    let domain = gatepost_mail::Domain::parse("x.net").expect("a domain");
    let next_hop = gatepost_policy::route::NextHop::Domain(domain);
    let key = QueueKey::Send { connector: "Internet".into(), next_hop, instead_of: None };
    for id in 0..30 {
        let priority = [Priority::High, Priority::Low, Priority::Low][id as usize % 3];
        push(&queues, key.clone(), Entry { priority, ..entry(id) }, None);
    }
    let queue = only_queue(&queues);
    while requests.try_recv().is_ok() {
        queue.worker_started();
    }
    let next = || match queue.next() {
        Work::Entry(entry) => Some((entry.priority, entry.id)),
        _ => None,
    };
    let (high, low) = (next().expect("work"), next().expect("work"));
    assert_eq!((high.0, low.0), (Priority::High, Priority::Low));
    assert_eq!(next(), None, "each has its share");
    queues.done(&queue, high.1);
    assert_eq!(next().map(|(priority, _)| priority), Some(Priority::High));
}
