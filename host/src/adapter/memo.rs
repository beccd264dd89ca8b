//! What adapters said, kept with every question they asked, so that a warm run asks the disk a few
//! stats and starts no engine.

use super::Call;
use super::ask::{Answered, Asker, Held, Places};
use super::fault::AdapterFault;
use crate::declaration::Declaration;
use crate::digest::{Digest, Fields};
use crate::memo::Memo;
use serde::{Deserialize, Serialize};
use std::io::Read;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// No adapter knows the command.
    Unknown,
    /// One does.
    Declared(Box<Declaration>),
    /// One failed, and would again.
    Failed(AdapterFault),
}

impl Outcome {
    /// Takes down a result.
    pub fn of(result: &Result<Option<Declaration>, AdapterFault>) -> Outcome {
        match result {
            Ok(None) => Outcome::Unknown,
            Ok(Some(declaration)) => Outcome::Declared(Box::new(declaration.clone())),
            Err(fault) => Outcome::Failed(fault.clone()),
        }
    }

    /// The result that was taken down.
    pub fn into_result(self) -> Result<Option<Declaration>, AdapterFault> {
        match self {
            Outcome::Unknown => Ok(None),
            Outcome::Declared(declaration) => Ok(Some(*declaration)),
            Outcome::Failed(fault) => Err(fault),
        }
    }
}

/// An outcome with all that it was drawn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    answers: Vec<Answered>,
    outcome: Outcome,
}

impl Record {
    /// What was asked, in order, and what came of it.
    pub fn new(answers: Vec<Answered>, outcome: Outcome) -> Record {
        Record { answers, outcome }
    }

    /// What is kept under a key. One that cannot be read counts as none.
    pub fn recall(memo: &dyn Memo, key: Digest) -> Option<Record> {
        serde_json::from_slice(&memo.get(key)?).ok()
    }

    /// Keeps it.
    pub fn keep(&self, memo: &dyn Memo, key: Digest) {
        if let Ok(bytes) = serde_json::to_vec(self) {
            memo.put(key, &bytes);
        }
    }

    /// The outcome, if every question still has the answer it had. The first that has not ends the
    /// look: later ones may have been asked only because of it.
    pub fn if_still_true(
        mut self,
        memo: &dyn Memo,
        key: Digest,
        call: Call,
        places: &Places,
    ) -> Option<Outcome> {
        let mut seen_anew = false;
        for answered in &mut self.answers {
            match Asker::still_holds(answered, call, places, memo) {
                Held::AsSeen => {}
                Held::SeenAnew => seen_anew = true,
                Held::No => return None,
            }
        }
        if seen_anew {
            self.keep(memo, key);
        }
        Some(self.outcome)
    }
}

/// What hides the values of variables in records: random, and the same as long as the memo lives.
pub fn salt(memo: &dyn Memo) -> Digest {
    let key = Fields::new("adapter memo salt").digest();
    if let Some(salt) = memo.get(key).as_deref().and_then(Digest::from_slice) {
        return salt;
    }
    let mut bytes = [0; 32];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    if random.is_err() {
        // Without randomness nothing is recalled later: the salt is not kept, so no value can match it.
        return Digest::of(&crate::stamp::now_ns().to_le_bytes());
    }
    memo.put(key, &bytes);
    Digest(bytes)
}
