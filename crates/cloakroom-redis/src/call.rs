//! What a script is called with.

use redis::Cmd;

use crate::keys::{Bucket, ENDS, Layout};
use crate::node::Lane;
use crate::script::{Access, Keys, Script};

/// What a script is called with, in which bucket.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) bucket: Bucket,
    pub(crate) script: &'static Script,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) lane: Lane,
}

impl Call {
    /// The command, with the script's digest or with its text.
    pub(crate) fn command(&self, layout: &Layout, is_loaded: bool) -> Cmd {
        let is_read = self.script.access == Access::Reads;
        let mut command = Cmd::new();
        match is_loaded {
            true => command.arg(if is_read { "EVALSHA_RO" } else { "EVALSHA" }).arg(self.script.digest()),
            false => command.arg(if is_read { "EVAL_RO" } else { "EVAL" }).arg(self.script.source),
        };
        match self.script.keys {
            Keys::Bucket if layout.is_clustered() => {
                let epoch = layout.key(self.bucket, "epoch", "current");
                command.arg(2).arg(epoch).arg(layout.key(self.bucket, "none", "never"))
            }
            Keys::Bucket => command.arg(1).arg(layout.key(self.bucket, "epoch", "current")),
            Keys::Ends => command.arg(1).arg(layout.key(self.bucket, ENDS, "list")),
        };
        command.arg(layout.prefix()).arg(layout.tag(self.bucket));
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}
