//! Whether anything can be written.

use std::time::Duration;

use cloakroom_core::Route;

use crate::client::{Batch, Expiry, Item};
use crate::error::Problem;
use crate::servers::{Call, at_least_one};

/// Adds something somewhere: whether it was there already does not matter, that a server decided it does.
pub(crate) async fn ping(call: Call<'_>) -> Result<(), Problem> {
    let answers = call.servers.all(|position| async move {
        let place = call.servers.place(position, Route::from_bytes([0, 0])).await?;
        let item = Item { value: vec![1], expiry: Expiry::after(Duration::ZERO), flags: 0 };
        place.link.ask(Batch::default().add(&call.servers.keys.probe(), item)).await
    });
    at_least_one(answers.await).map(|_| ())
}
