//! Changing a record, its token, or the instant of its last activity.

use cloakroom_core::Timestamp;
use cloakroom_store::{
    Ended, ErrorKind, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, StoreError, Touch, Verb, Version,
};

use crate::NAME;
use crate::packed::Packed;
use crate::shard::{Found, Shard};
use crate::slab::Index;
use crate::slot::{Class, Slot};

impl Shard {
    pub(crate) fn replace(
        &mut self,
        packed: Packed,
        request: &ReplaceRequest<'_>,
        over: &mut Vec<Ended>,
    ) -> Result<Replaced, StoreError> {
        let index = match self.resolve(&request.digest, request.now, over) {
            Found::Live(index) => index,
            Found::Ended(tombstone) => return Ok(Replaced::Ended(tombstone)),
            Found::Retired(retired) => return Ok(Replaced::Retired(retired)),
            Found::Unknown => return Ok(Replaced::Unknown),
        };
        if self.version(index) != request.version {
            return Ok(Replaced::Conflict(self.live(index)));
        }
        let slot = self.slots.get(index);
        if slot.id != request.record.id || !slot.may_become(&packed, request.record.created_at) {
            return Err(StoreError::new(ErrorKind::Internal, NAME, Verb::Replace).caused_by(SAME));
        }
        self.note(index);
        Ok(Replaced::Done(self.set_record(index, packed)))
    }

    pub(crate) fn rekey(
        &mut self,
        packed: Packed,
        request: &RekeyRequest<'_>,
        over: &mut Vec<Ended>,
    ) -> Result<Rekeyed, StoreError> {
        let index = match self.resolve(&request.old, request.now, over) {
            Found::Live(index) => index,
            Found::Ended(tombstone) => return Ok(Rekeyed::Ended(tombstone)),
            Found::Retired(retired) => return Ok(Rekeyed::Retired(retired)),
            Found::Unknown => return Ok(Rekeyed::Unknown),
        };
        if self.version(index) != request.version {
            return Ok(Rekeyed::Conflict(self.live(index)));
        }
        if self.find(&request.new).is_some() {
            return Ok(Rekeyed::AlreadyExists);
        }
        let slot = self.slots.get(index);
        if slot.id != request.record.id || !slot.may_become(&packed, request.record.created_at) {
            return Err(StoreError::new(ErrorKind::Internal, NAME, Verb::Rekey).caused_by(SAME));
        }
        if !self.retire_token(index, request.now) {
            return Err(StoreError::new(ErrorKind::Full, NAME, Verb::Rekey));
        }
        self.note(index);
        self.slots.get_mut(index).hash = *request.new.hash();
        self.directory.add_digest(&self.slots, index);
        self.see(index, request.now);
        Ok(Rekeyed::Done(self.set_record(index, packed)))
    }

    /// Whether the touch moved the last activity forward.
    pub(crate) fn touch(&mut self, touch: &Touch, now: Timestamp, over: &mut Vec<Ended>) -> bool {
        match self.resolve(&touch.digest, now, over) {
            Found::Live(index) => self.see(index, touch.seen_at),
            Found::Ended(_) | Found::Retired(_) | Found::Unknown => false,
        }
    }

    /// Moves the last activity of a live session forward, not past its absolute instant; whether it moved.
    fn see(&mut self, index: Index, seen_at: Timestamp) -> bool {
        let slot = self.slots.get_mut(index);
        let seen_at = seen_at.min(slot.lifetime().absolute_expires_at);
        if seen_at <= slot.at {
            return false;
        }
        slot.at = seen_at;
        let class = slot.class();
        self.lists.of_mut(class).move_to_end(&mut self.slots, index);
        self.is_changed = true;
        true
    }

    /// Files the token of a live session as exchanged, in its stead; whether there was a number left for a slot.
    fn retire_token(&mut self, index: Index, now: Timestamp) -> bool {
        let retired = self.slots.get(index).retire(now);
        let (bytes, keep_until) = (retired.bytes(), retired.due_at());
        let Some(retired) = self.slots.insert(retired) else { return false };
        self.directory.remove_digest(&self.slots, index);
        self.directory.add_digest(&self.slots, retired);
        self.lists.of_mut(Class::Remnant).push(&mut self.slots, retired);
        self.wheel.schedule(&mut self.slots, retired, keep_until);
        self.bytes.all += bytes;
        self.bytes.remnants += bytes;
        true
    }

    fn set_record(&mut self, index: Index, packed: Packed) -> Version {
        self.is_changed = true;
        self.warm.forget(&mut self.slots, index);
        let slot = self.slots.get_mut(index);
        self.bytes.all -= slot.bytes();
        slot.packed = packed;
        self.bytes.all += slot.bytes();
        let version = slot.packed.version();
        // The limits in force may have become shorter.
        self.schedule(index);
        version
    }

    fn version(&self, index: Index) -> Version {
        self.slots.get(index).packed.version()
    }
}

impl Slot {
    fn may_become(&self, packed: &Packed, created_at: Timestamp) -> bool {
        self.created_at == created_at && self.packed.principal() == packed.principal()
    }
}

const SAME: &str = "a changed record has the same id, principal and instant of issue";
