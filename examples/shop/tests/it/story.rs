//! What a visitor lives through.

use std::time::Duration;

use crate::browser::{PASSWORD, open};

#[tokio::test]
async fn somebody_who_only_looks_gets_no_cookie_and_the_first_article_begins_a_session() {
    let shop = open();
    let mut visitor = shop.browser();
    visitor.get("/").await.says("Nothing yet");
    assert_eq!(visitor.cookie, None);
    visitor.post("/cart", &[("article", "umbrella")]).await.leads_to("/");
    assert!(visitor.cookie.is_some());
    visitor.get("/").await.says("Cart: 1");
}

#[tokio::test]
async fn the_cart_of_a_stranger_is_kept_across_the_sign_in_and_the_token_is_not() {
    let shop = open();
    let mut visitor = shop.browser();
    for article in ["umbrella", "umbrella", "hatbox"] {
        visitor.post("/cart", &[("article", article)]).await;
    }
    let mut before = visitor.clone();
    visitor.get("/checkout").await.leads_to("/sign-in?return_to=%2Fcheckout");
    visitor.get("/sign-in?return_to=%2Fcheckout").await.says("value=\"/checkout\"");
    visitor.sign_in("alice", PASSWORD, "/checkout").await.leads_to("/checkout");
    assert_ne!(visitor.cookie, before.cookie);
    let checkout = visitor.get("/checkout").await;
    checkout.says("Buy for 81.00");
    checkout.says("alice");
    before.get("/").await.says("Cart: 0");
    visitor.get("/").await.says("Cart: 3");
}

#[tokio::test]
async fn an_order_empties_the_cart_and_needs_the_form_of_this_session() {
    let shop = open();
    let mut alice = shop.browser();
    alice.sign_in("alice", PASSWORD, "/").await;
    alice.post("/cart", &[("article", "overcoat")]).await;
    assert_eq!(alice.post("/checkout", &[]).await.status, 403, "no token");
    alice.get("/").await.says("Cart: 1");
    alice.buy().await.says("Order 1 over 189.00");
    alice.get("/").await.says("Cart: 0");
    alice.get("/checkout").await.leads_to("/");
}

#[tokio::test]
async fn a_form_that_is_sent_twice_places_one_order() {
    let shop = open();
    let mut alice = shop.browser();
    alice.sign_in("alice", PASSWORD, "/").await;
    alice.post("/cart", &[("article", "overcoat")]).await;
    let token = alice.checkout_token().await;
    alice.post("/checkout", &[("csrf_token", &token)]).await.says("Order 1 over 189.00");
    alice.post("/checkout", &[("csrf_token", &token)]).await.leads_to("/");
}

#[tokio::test]
async fn checkout_asks_who_it_is_again_after_five_minutes() {
    let shop = open();
    let mut alice = shop.browser();
    alice.sign_in("alice", PASSWORD, "/").await;
    alice.post("/cart", &[("article", "hatbox")]).await;
    shop.clock.advance(Duration::from_millis(5 * 60 * 1_000 - 1));
    alice.get("/checkout").await.says("Buy for 32.00");
    shop.clock.advance(Duration::from_millis(1));
    alice.get("/checkout").await.leads_to("/confirm?return_to=%2Fcheckout");
    let form = |password| [("password", password), ("return_to", "/checkout")];
    let wrong = alice.post("/confirm", &form("wrong")).await;
    assert_eq!(wrong.status, 401);
    wrong.says("The password is wrong");
    let others = alice.post("/confirm", &form("seven quiet rivers")).await;
    assert_eq!(others.status, 401, "somebody else's password proves nothing");
    let stale = alice.clone();
    alice.post("/confirm", &form(PASSWORD)).await.leads_to("/checkout");
    assert_ne!(alice.cookie, stale.cookie, "another proof, another token");
    alice.buy().await.says("Order 1 over 32.00");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let shop = open();
    let mut visitor = shop.browser();
    let wrong = visitor.sign_in("alice", "seven quiet rivers", "/").await;
    let unknown = visitor.sign_in("mallory", PASSWORD, "/").await;
    assert_eq!((wrong.status, &wrong.body), (unknown.status, &unknown.body));
    assert_eq!(wrong.status, 401);
    assert_eq!(visitor.cookie, None);
}

#[tokio::test]
async fn the_way_back_never_leaves_the_shop() {
    let shop = open();
    for evil in ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"] {
        shop.browser().sign_in("alice", PASSWORD, evil).await.leads_to("/");
    }
}

#[tokio::test]
async fn what_a_visitor_sends_is_never_markup() {
    let shop = open();
    let form = shop.browser().get("/sign-in?return_to=/%22%3E%3Cscript%3E").await;
    assert!(!form.body.contains("<script>"), "{}", form.body);
    let unknown = shop.browser().post("/cart", &[("article", "<script>")]).await;
    assert!(!unknown.body.contains("<script>"));
}

#[tokio::test]
async fn another_site_can_neither_fill_the_cart_nor_sign_anybody_in_or_out() {
    let shop = open();
    let mut alice = shop.browser();
    alice.sign_in("alice", PASSWORD, "/").await;
    for path in ["/cart", "/sign-out", "/sign-in", "/checkout", "/account/end-others"] {
        let fields = [("article", "umbrella"), ("name", "bob"), ("password", "seven quiet rivers")];
        let page = alice.post_from("cross-site", path, &fields).await;
        assert_eq!(page.status, 403, "{path}");
        page.says("The request does not come from a page of this site");
    }
    alice.get("/").await.says("alice");
    alice.get("/").await.says("Cart: 0");
}

#[tokio::test]
async fn signing_out_ends_it_for_good_and_says_so_to_whoever_kept_the_token() {
    let shop = open();
    let mut alice = shop.browser();
    alice.sign_in("alice", PASSWORD, "/").await;
    let mut thief = alice.clone();
    alice.post("/sign-out", &[]).await.leads_to("/");
    assert_eq!(alice.cookie, None);
    thief.get("/account").await.leads_to("/sign-in?return_to=%2Faccount&ended=signed_out");
}

#[tokio::test]
async fn an_idle_customer_is_told_why_and_comes_back_to_where_they_were() {
    let shop = open();
    let mut alice = shop.browser();
    alice.sign_in("alice", PASSWORD, "/").await;
    shop.clock.advance(Duration::from_secs(30 * 60));
    let expired = alice.get("/account").await;
    expired.leads_to("/sign-in?return_to=%2Faccount&ended=idle_timeout");
    alice.get(&expired.location.unwrap()).await.says("You were signed out after a while");
}

#[tokio::test]
async fn a_customer_sees_their_own_devices_and_signs_all_others_out() {
    let shop = open();
    let (mut desk, mut phone, mut bob) = (shop.browser(), shop.browser(), shop.browser());
    desk.sign_in("alice", PASSWORD, "/").await;
    phone.sign_in("alice", PASSWORD, "/").await;
    bob.sign_in("bob", "seven quiet rivers", "/").await;
    let page = desk.get("/account").await;
    assert_eq!(page.body.matches("Unknown browser").count(), 2);
    assert_eq!(page.body.matches("this device").count(), 1);
    desk.post("/account/end-others", &[]).await.leads_to("/account");
    phone.get("/account").await.leads_to("/sign-in?return_to=%2Faccount&ended=revoked_by_user");
    assert_eq!(bob.get("/account").await.status, 200);
    assert_eq!(desk.get("/account").await.status, 200);
}
