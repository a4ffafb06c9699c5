//! Every combination of what a browser may say about where a request comes from.

use cloakroom_http::{Demand, Head, OriginGuard};
use http::{Method, Request};

/// Values of `Sec-Fetch-Site`, in the order of the table's columns. `Twice` sends the field twice.
const SITES: [(&str, &[&str]); 7] = [
    ("absent", &[]),
    ("same-origin", &["same-origin"]),
    ("none", &["none"]),
    ("same-site", &["same-site"]),
    ("cross-site", &["cross-site"]),
    ("garbage", &["Same-Origin, cross-site"]),
    ("twice", &["same-origin", "same-origin"]),
];

/// One row for each `Origin`: what happens to an unsafe request under each value of `Sec-Fetch-Site`.
///
/// `+` passes. What is refused: `S` a page of the same site, `X` of another site, `O` another origin, `0` an opaque
/// one, `?` nothing says where it comes from, `2` a field came twice.
const TABLE: [(&str, &[&str], &str); 16] = [
    //                                                           absent
    //                                                           | same-origin
    //                                                           | | none
    //                                                           | | | same-site
    //                                                           | | | | cross-site
    //                                                           | | | | | garbage
    //                                                           | | | | | | twice
    ("absent", &[], /*                                        */ "? + + S X ? 2"),
    ("same", &["https://shop.example"], /*                    */ "+ + + S X + 2"),
    ("trusted", &["https://pay.example"], /*                  */ "+ + + + + + 2"),
    ("other port", &["https://shop.example:8443"], /*         */ "O + + S X O 2"),
    ("own port, spelt out", &["https://shop.example:443"], /* */ "O + + S X O 2"),
    ("other scheme", &["http://shop.example"], /*             */ "O + + S X O 2"),
    ("subdomain", &["https://a.shop.example"], /*             */ "O + + S X O 2"),
    ("other site", &["https://evil.example"], /*              */ "O + + S X O 2"),
    ("null", &["null"], /*                                    */ "0 + + S X 0 2"),
    ("user information", &["https://evil@shop.example"], /*   */ "O + + S X O 2"),
    ("capital letters", &["https://Shop.example"], /*         */ "O + + S X O 2"),
    ("final dot", &["https://shop.example."], /*              */ "O + + S X O 2"),
    ("a path", &["https://shop.example/"], /*                 */ "O + + S X O 2"),
    ("a list", &["https://shop.example https://a.b"], /*      */ "O + + S X O 2"),
    ("empty", &[""], /*                                       */ "O + + S X O 2"),
    ("twice", &["https://shop.example"; 2], /*                */ "2 2 2 2 2 2 2"),
];

fn guard() -> OriginGuard {
    OriginGuard::new(["https://shop.example".parse().unwrap()])
        .trusting(["https://pay.example".parse().unwrap()])
}

struct Sent<'a> {
    method: Method,
    sites: &'a [&'a str],
    origins: &'a [&'a str],
    headers: &'a [(&'a str, &'a str)],
}

fn verdict(sent: &Sent<'_>, demand: Demand) -> char {
    let request = Request::builder().method(sent.method.clone()).uri("/").header("host", "shop.example");
    let request = sent.sites.iter().fold(request, |request, value| request.header("sec-fetch-site", *value));
    let request = sent.origins.iter().fold(request, |request, value| request.header("origin", *value));
    let request = sent.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    match guard().check(Head::from(&request.body(()).unwrap()), demand) {
        Ok(()) => '+',
        Err(refused) => match refused.to_string().as_str() {
            "a page of another origin of the same site sent the request" => 'S',
            "a page of another site sent the request" => 'X',
            "Origin is neither the public origin nor a trusted one" => 'O',
            "Origin is null" => '0',
            "neither Sec-Fetch-Site nor Origin says where the request came from" => '?',
            "Sec-Fetch-Site or Origin came more than once" => '2',
            other => panic!("{other}"),
        },
    }
}

/// Checks every cell; `expected` turns what the table says about a cell into what shall happen.
fn check(
    methods: &[Method],
    headers: &[(&str, &str)],
    demand: Demand,
    expected: impl Fn(char, &str, &str) -> char,
) {
    for method in methods {
        for (origin, origins, row) in TABLE {
            for ((site, sites), cell) in SITES.into_iter().zip(row.split(' ')) {
                let sent = Sent { method: method.clone(), sites, origins, headers };
                let wanted = expected(first(cell), site, origin);
                assert_eq!(
                    verdict(&sent, demand),
                    wanted,
                    "{method}, Sec-Fetch-Site {site}, Origin {origin}"
                );
            }
        }
    }
}

fn first(cells: &str) -> char {
    cells.chars().next().unwrap()
}

fn unsafe_methods() -> Vec<Method> {
    let named = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::CONNECT, Method::TRACE];
    named.into_iter().chain(["get", "PROPFIND"].map(|name| name.parse().unwrap())).collect()
}

const COOKIE: &[(&str, &str)] = &[("cookie", "a=b")];

#[test]
fn an_unsafe_request_with_a_cookie_passes_only_from_our_own_pages() {
    check(&unsafe_methods(), COOKIE, Demand::CookieAuthenticated, |cell, _, _| cell);
    check(&unsafe_methods(), &[], Demand::CookieAuthenticated, |cell, _, _| cell);
}

#[test]
fn a_sign_in_is_guarded_alike_but_for_clients_that_are_no_browsers() {
    check(&unsafe_methods(), COOKIE, Demand::SignIn, |cell, _, _| cell);
    check(&unsafe_methods(), &[], Demand::SignIn, |cell, site, origin| match (site, origin) {
        ("absent", "absent") => '+',
        _ => cell,
    });
}

#[test]
fn safe_methods_and_explicit_credentials_pass() {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS];
    check(&safe, COOKIE, Demand::CookieAuthenticated, |_, _, _| '+');
    check(&safe, COOKIE, Demand::SignIn, |_, _, _| '+');
    check(&unsafe_methods(), COOKIE, Demand::Explicit, |_, _, _| '+');
}

#[test]
fn a_websocket_handshake_is_as_good_as_an_unsafe_request() {
    for upgrade in ["websocket", "WebSocket", "h2c, websocket", "websocket/13"] {
        let headers = [("cookie", "a=b"), ("upgrade", upgrade)];
        // "none" is the user's own doing, and no user opens a WebSocket by hand: `Origin` decides.
        check(&[Method::GET], &headers, Demand::CookieAuthenticated, |cell, site, origin| {
            match (site, origin) {
                ("none", _) => first(TABLE.iter().find(|row| row.0 == origin).unwrap().2),
                _ => cell,
            }
        });
    }
    check(&[Method::GET], &[("upgrade", "h2c")], Demand::CookieAuthenticated, |_, _, _| '+');
    check(&[Method::GET], &[("upgrade", "websocket")], Demand::Explicit, |_, _, _| '+');
}
