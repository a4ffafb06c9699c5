//! Tokens that released versions sealed. They stay here for as long as somebody may carry one.

use cloakroom_core::SessionToken;
use cloakroom_store::{SealedContents, Sealing as _};

use crate::support::{NONCE, NOW, assert_same, bare, full, ring, sealed, sealer, typical};

type Make = fn() -> SealedContents;

/// Format 1, by key 01010101, nonce 09…, for cookie `__Host-cloakroom` of application `shop`.
const FORMAT_1: [(Make, &str); 3] = [
    (
        bare,
        "cs1_AQEBAQkJCQkJCQkJCQkJCfAxj8K_CNAW8BJnZaw5rvlNYJLX0XWwZuzAPo0eT2X0d9aqYVUjiiN5d9XfKmL6zjiYVp_5ZEGPAW9DK2dfC_s7k3JB8Q",
    ),
    (
        typical,
        "cs1_AQEBAQkJCQkJCQkJCQkJCZGldJgW-GjmRIY2wM_7yU4gYw3Rh0-QIIoAudFm1lAYg58-cz7DZfLf56Rmv4Y-bOu9XjzN9v0cGjeOeX_Tfcu9p7Y7AfejqjUUO5fJ7Vczy72rahBZ9E39LM6bP9RGdMhOwxdLYsA1GII3G5Y4A4jV2vmg9kBx739jnJLU-UUh5y5nNwImFuHquAEPMaNKd1K9y1F14QxFEGoLufyjUMkJe_snQ9me-XljRoejKWn9V0kgRVKj-g",
    ),
    (
        full,
        "cs1_AQEBAQkJCQkJCQkJCQkJCTiFoAe-ucSyktB3Wv-Mj-wjmqT5A7Ly5x-kBUH-kTRU_nVmqBtMhDlT2IwbT947-H1vspvRL1LPqI2Nq6HdNKM5SsTfyYUtGFjjY1ZlskCHGaOEChfy7dt5WQLfklZjkq9udyamJmnFa7QJJkgtktEH8cB4OeLt9hoN_TI1uEPsxG7IrrEEuB6PsAWFVK-mHqQgarQe0gGNKeK56TUkn9fvbgwS7EfMCbG-sYdYpdq6UO08IhPHkl8kBXbpovdIce8PySSl5XvrQfXTB8wrq0zd3ezuwRToqy7Rgi83JQ",
    ),
];

#[test]
fn tokens_of_every_released_format_are_opened_and_the_present_one_is_written_as_ever() {
    for (contents, golden) in FORMAT_1 {
        let contents = contents();
        let token = SessionToken::parse(golden.as_bytes()).unwrap();
        let opened = sealer(ring()).open(&token, NOW).unwrap();
        assert_same(&opened.contents, &contents);
        assert!(!opened.is_stale);
        assert_eq!(sealed(&contents).expose().as_str(), golden);
    }
    assert_eq!(NONCE, [9; 12]);
}
