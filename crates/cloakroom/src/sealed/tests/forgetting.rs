//! Forgetting, and reading anew what was forgotten, beside a request: in which order each has to look, in every order of both.
//!
//! The steps are those of [`Mirror::look`](super::super::mirror), of `refresh` where the clock was set back, and of `forget_over`.

/// What a request looks at, one after the other.
#[derive(Clone, Copy)]
enum Look {
    Forgot,
    Trust,
    Copy,
}

/// What is done meanwhile.
#[derive(Clone, Copy)]
enum Do {
    TakeTrustBack,
    ForgetNothing,
    ReadAnew,
    Publish,
    ForgetFrom,
    Forget,
}

/// A node of which the clock was set back behind what it forgot, or has forgotten nothing yet.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "three independent words of memory")]
struct Node {
    forgot: bool,
    trusted: bool,
    knows: bool,
}

/// Whether a request lets somebody in who is over, in one of all orders of these steps.
fn lets_in(node: Node, look: &[Look], acts: &[Do]) -> bool {
    fn goes_on(mut node: Node, look: &[Look], acts: &[Do], proven: bool) -> bool {
        let Some((next, rest)) = look.split_first() else { return proven };
        let seen = match next {
            Look::Forgot => !node.forgot,
            Look::Trust => node.trusted,
            Look::Copy => !node.knows,
        };
        if goes_on(node, rest, acts, proven && seen) {
            return true;
        }
        let Some((act, later)) = acts.split_first() else { return false };
        match act {
            Do::TakeTrustBack => node.trusted = false,
            Do::ForgetNothing => node.forgot = false,
            Do::ReadAnew => node.knows = true,
            Do::Publish => node.trusted = true,
            Do::ForgetFrom => node.forgot = true,
            Do::Forget => node.knows = false,
        }
        goes_on(node, look, later, proven)
    }
    goes_on(node, look, acts, true)
}

#[test]
fn a_request_looks_for_what_was_forgotten_before_the_trust_and_after_the_copy() {
    let set_back = Node { forgot: true, trusted: true, knows: false };
    let fresh = Node { forgot: false, trusted: true, knows: true };
    assert!(!lets_in(set_back, &LOOK, &ANEW) && !lets_in(fresh, &LOOK, &FORGET));
    assert!(lets_in(set_back, &[Look::Trust, Look::Copy, Look::Forgot], &ANEW), "not before the trust");
    assert!(lets_in(fresh, &[Look::Forgot, Look::Trust, Look::Copy], &FORGET), "not after the copy");
    let wrong = [Do::ForgetNothing, Do::TakeTrustBack, Do::ReadAnew, Do::Publish];
    assert!(lets_in(set_back, &LOOK, &wrong), "trust is taken back too late");
    assert!(lets_in(fresh, &LOOK, &[Do::Forget, Do::ForgetFrom]), "it is said too late");
}

const LOOK: [Look; 4] = [Look::Forgot, Look::Trust, Look::Copy, Look::Forgot];
const ANEW: [Do; 4] = [Do::TakeTrustBack, Do::ForgetNothing, Do::ReadAnew, Do::Publish];
const FORGET: [Do; 2] = [Do::ForgetFrom, Do::Forget];
