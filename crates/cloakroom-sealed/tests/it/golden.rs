//! Tokens that released versions sealed. They stay here for as long as somebody may carry one.

use cloakroom_core::SessionToken;
use cloakroom_store::{SealedContents, Sealing as _};

use crate::support::{NONCE, NOW, assert_same, bare, full, ring, sealed, sealer, typical};

type Make = fn() -> SealedContents;

/// Format 1, by key 01010101, nonce 09…, for cookie `__Host-cloakroom` of application `shop`.
const FORMAT_1: [(Make, &str); 3] = [
    (
        bare,
        "cs1_AQEBAQkJCQkJCQkJCQkJCQNlkXBVaaiBmRpq5NzTAHB22ZijbwWpluAN0HL0Xk22ZVVRdBavBOx9TxS99Dm2Y3gZONu8S4FO00kjQbhtKfuD6uKj",
    ),
    (
        typical,
        "cs1_AQEBAQkJCQkJCQkJCQkJCbJeelqjkCzcgQ-dmjQB3IPdjc1JJW3WSAGtQWygf-aEpRPNbn2HyHBwSOKrA6AeiCjxljYiRVaElJKE9hCS-7vpcSIRdfaVoFwE-YoW_TEHIkJ4XrHzooQqdbKEboazqFraPLITKB03aFq2DYxQ9UII6n8uYnCtuPqYrDMgGk6TgBbyR_dqSat0D_Z1J_AGiaoK2fj3VFtjl4D5rWDjSr6D3jMWCS-uuJCz8L6sjkN99X-qCCWzquMFMuU",
    ),
    (
        full,
        "cs1_AQEBAQkJCQkJCQkJCQkJCaJwin5YEkf6t7_eqbIlcaFHBIjE_Z5OhlJT-ea7BW9iKGLtr5NPG3Y3n5zlvFO7H6UbGeqm0oCTiPKr4oAZTMug5yFpw1rJ3GyS4aUtGfY_W-7qsE4L3AHR9UqemQ0iIsa8seJDbzxMXaVd5AeYxO98ZhL2j7tTd5F3QUZJRf3ujq1IPMQwXhl89kK4l3znvhTD-00_x9ax_TXo1Rh2v8S_ZN4I8OzMOkQXRnEdbPqFw1C6cdoMxJWURI4Oo2AcN8piaEViKlo4dGUpt4Goz5hcJOB_-a6hc_BcTV7H9n7O5F8",
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
