//! What happens in the chat.

use crate::house::{Home, House};

const OUT: (u16, &str) = (1008, "session_ended: revoked_by_user");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_out_everywhere_is_out_of_every_socket_on_every_node_and_nobody_else_is() {
    for home in [Home::Store, Home::Cookies] {
        out_everywhere(home).await;
    }
}

async fn out_everywhere(home: Home) {
    let house = House::open(home).await;
    let [here, there] = house.nodes.as_slice() else { panic!() };
    let (phone, desk, away) =
        (here.sign_in("alice").await, there.sign_in("alice").await, here.sign_in("alice").await);
    let bob = there.sign_in("bob").await;
    let mut hers = vec![
        here.talk(&phone, "lobby").await,
        there.talk(&phone, "lobby").await,
        there.talk(&desk, "kitchen").await,
        here.talk(&away, "balcony").await,
    ];
    let mut his = [here.talk(&bob, "lobby").await, there.talk(&bob, "kitchen").await];
    let mut her_events = there.events(&away).await;
    let mut his_events = here.events(&bob).await;
    assert!(her_events.next().await.unwrap().contains("\"balcony\":[\"alice\"]"));

    // She signs out on one node …
    assert_eq!(here.post(&phone, "/sign-out-everywhere").await.status(), 303);
    // … and is out of everything, on both.
    for socket in &mut hers {
        let (code, reason) = socket.closed().await;
        assert_eq!((code, reason.as_str()), OUT);
    }
    let mut last = her_events.next().await.unwrap();
    while !last.starts_with("event:") {
        last = her_events.next().await.unwrap();
    }
    assert_eq!(last, "event: session-ended\ndata: revoked_by_user\n\n");
    assert_eq!(her_events.next().await, None);
    let (status, location) = there.get(&desk, "/rooms/lobby").await;
    assert_eq!(
        (status, location.as_str()),
        (303, "/sign-in?return_to=%2Frooms%2Flobby&ended=revoked_by_user")
    );

    // Nobody else is: bob is heard and hears, and sees that she is gone.
    for socket in &mut his {
        socket.say("anybody?").await;
        assert_eq!(socket.hears().await, "{\"who\":\"bob\",\"text\":\"anybody?\"}");
    }
    while his_events.next().await.unwrap().contains("alice") {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_are_heard_across_nodes_and_apart_from_each_other() {
    let house = House::open(Home::Store).await;
    let [here, there] = house.nodes.as_slice() else { panic!() };
    let (alice, bob) = (here.sign_in("alice").await, there.sign_in("bob").await);
    let mut hers = here.talk(&alice, "lobby").await;
    let mut his = there.talk(&bob, "lobby").await;
    let mut elsewhere = there.talk(&bob, "kitchen").await;
    // Each socket has heard something, so all have come in.
    for socket in [&mut his, &mut elsewhere] {
        socket.say("I am in").await;
        socket.hears().await;
    }
    hers.say("good evening").await;
    let said = "{\"who\":\"alice\",\"text\":\"good evening\"}";
    while hers.hears().await != said {}
    assert_eq!(his.hears().await, said);
    elsewhere.say("only here").await;
    assert_eq!(elsewhere.hears().await, "{\"who\":\"bob\",\"text\":\"only here\"}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_cannot_talk_in_a_visitors_name() {
    let house = House::open(Home::Store).await;
    let node = house.nodes.first().unwrap();
    let alice = node.sign_in("alice").await;
    let other_node = house.nodes.last().unwrap().origin.clone();
    for origin in ["https://evil.example", "null", other_node.as_str()] {
        let refused = node.talk_from(&alice, "lobby", origin).await.unwrap_err();
        assert!(refused.to_string().contains("403"), "{origin}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_closes_the_sockets_of_this_session_alone() {
    for home in [Home::Store, Home::Cookies] {
        out_of_one(home).await;
    }
}

async fn out_of_one(home: Home) {
    let house = House::open(home).await;
    let [here, there] = house.nodes.as_slice() else { panic!() };
    let (phone, desk) = (here.sign_in("alice").await, here.sign_in("alice").await);
    let mut of_phone = there.talk(&phone, "lobby").await;
    let mut of_desk = there.talk(&desk, "lobby").await;
    here.post(&phone, "/sign-out").await;
    assert_eq!(of_phone.closed().await, (1008, "session_ended: signed_out".to_owned()));
    of_desk.say("still here").await;
    assert_eq!(of_desk.hears().await, "{\"who\":\"alice\",\"text\":\"still here\"}");
}
