//! Nothing on the path from a request's head to its verdict touches the heap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use cloakroom_core::{Route, SessionToken};
use cloakroom_http::{CookiePolicy, Demand, Found, Head, OriginGuard, find_token, uri_carries_token};
use http::{HeaderMap, Request};

/// The system's allocator, counting per thread what it is asked for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it came.
#[expect(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    black_box(work());
    ALLOCATIONS.with(Cell::get) - before
}

fn token_text() -> String {
    SessionToken::from_random(Route::from_bytes([1, 2]), [3; 32]).expose().as_str().to_owned()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| Box::new(1)), 1);
}

#[test]
fn finding_and_digesting_a_token_allocates_nothing() {
    let policy = CookiePolicy::default();
    let token = token_text();
    let many = format!("{}__Host-cloakroom={token}", "a=b; ".repeat(100));
    type IsExpected = fn(Found) -> bool;
    let table: [(&str, String, IsExpected); 7] = [
        ("accept", String::new(), |found| matches!(found, Found::Nothing)),
        ("cookie", "a=b".into(), |found| matches!(found, Found::Nothing)),
        (
            "cookie",
            many,
            |found| matches!(found, Found::Cookie(token) if token.digest().route() == token.route()),
        ),
        ("cookie", "__Host-cloakroom=x".into(), |found| matches!(found, Found::Malformed(_))),
        ("cookie", "__Host-cloakroom=x; __Host-cloakroom=y".into(), |found| {
            matches!(found, Found::Refused(_))
        }),
        ("authorization", format!("Bearer {token}"), |found| matches!(found, Found::Bearer(_))),
        ("authorization", "Bearer crk_x".into(), |found| matches!(found, Found::Other(_))),
    ];
    for (name, value, is_expected) in table {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let count = allocations(|| assert!(is_expected(find_token(&headers, &policy))));
        assert_eq!(count, 0, "{name}: {value}");
    }
}

#[test]
fn finding_a_sealed_token_allocates_its_text_and_refusing_one_nothing() {
    let policy = CookiePolicy::default();
    let sealed = SessionToken::from_sealed(&[7; SessionToken::SEALED_BYTES_MAX]);
    let text = sealed.expose().as_str().to_owned();
    for (name, value, expected) in [
        ("cookie", format!("a=b; __Host-cloakroom={text}"), 1),
        ("authorization", format!("Bearer {text}"), 1),
        ("cookie", format!("__Host-cloakroom={text}A"), 0),
        ("authorization", format!("Bearer {text}="), 0),
        ("cookie", format!("__Host-cloakroom={text}; __Host-cloakroom=cs1_"), 0),
    ] {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        // What is found is dropped after it was counted.
        assert_eq!(allocations(|| find_token(&headers, &policy)), expected, "{name}: {value:.40}");
    }
}

#[test]
fn judging_where_a_request_comes_from_allocates_nothing() {
    let known = OriginGuard::new(["https://shop.example".parse().unwrap()]);
    for guard in [known, OriginGuard::from_host()] {
        for (name, value) in
            [("sec-fetch-site", "same-origin"), ("origin", "https://shop.example"), ("upgrade", "h2c")]
        {
            let request =
                Request::post("/?a=b").header("host", "shop.example").header(name, value).body(()).unwrap();
            let count = allocations(|| guard.check(Head::from(&request), Demand::CookieAuthenticated));
            assert_eq!(count, 0, "{name}: {value}");
        }
    }
}

#[test]
fn looking_for_a_token_in_the_address_allocates_nothing() {
    let sealed = SessionToken::from_sealed(&[7; 500]).expose().as_str().to_owned();
    for token in [token_text(), sealed] {
        let uri = format!("/a?b={}", token.replace('_', "%5F")).parse().unwrap();
        assert_eq!(allocations(|| assert!(uri_carries_token(&uri))), 0);
    }
}

#[test]
fn taking_a_cookie_back_allocates_nothing() {
    let policy = CookiePolicy::default();
    assert_eq!(allocations(|| policy.removal()), 0);
}
