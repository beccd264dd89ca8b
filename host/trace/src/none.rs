//! No tracing: the step runs as it is, and its trace says that it knows nothing.

use crate::access::Observed;
use crate::{Awaited, Backend, Begun, ChildSide, ParentSide, Rest, Spec};
use std::io;

/// The backend where none works.
pub struct None {
    /// Why nothing is traced.
    pub why: &'static str,
}

struct Idle {
    why: &'static str,
}

impl<N> Backend<N> for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn trouble(&self) -> Option<String> {
        Some(self.why.to_owned())
    }

    fn begin(&self, _spec: Spec<N>) -> io::Result<Begun> {
        Ok(Begun { child: Box::new(Idle { why: self.why }), parent: Box::new(Idle { why: self.why }) })
    }
}

impl ChildSide for Idle {
    fn enter(&self) {}
}

impl ParentSide for Idle {
    fn spawned(&mut self) {}

    fn all_gone(&self) -> Option<Awaited<'_>> {
        Option::None
    }

    fn leader_ended(&self) {}

    fn finish(self: Box<Self>, _rest: Rest) -> Observed {
        let mut observed = Observed::default();
        observed.poison(self.why);
        observed
    }
}
