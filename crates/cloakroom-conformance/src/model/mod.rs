//! Random sequences of calls, compared with a model after each: for what nobody thought of.

mod act;
mod look;
mod moving;
mod play;
mod step;
mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::play::Play;
use self::step::{Step, steps};
use crate::case::{Case, Context};

pub(crate) const CASES: &[Case] = &[Case {
    name: "model::random_sequences_of_calls_equal_the_model_after_each",
    applies: |_| true,
    check: random_sequences_of_calls_equal_the_model_after_each,
}];

/// The same sequences in every run. One that disagrees is made as short as possible.
fn random_sequences_of_calls_equal_the_model_after_each(context: &Context) {
    let cases = context.effort().sequences;
    let max_shrink_iters = cases.saturating_mul(SHRINKS_PER_CASE);
    let config = Config { cases, max_shrink_iters, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&steps(), |steps| {
        let somewhere = context.elsewhere();
        somewhere.block_on(play(&somewhere, &steps)).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => {
            let steps: String = steps.iter().map(|step| format!("\n  {step:?}")).collect();
            panic!("{why}\nafter these steps:{steps}")
        }
        Err(TestError::Abort(why)) => panic!("no sequences: {why}"),
    }
}

/// How hard to look for a shorter sequence that disagrees too.
const SHRINKS_PER_CASE: u32 = 16;

async fn play(context: &Context, steps: &[Step]) -> Result<(), String> {
    let mut play = Play::new(context).await;
    for step in steps {
        play.step(step).await?;
    }
    Ok(())
}
