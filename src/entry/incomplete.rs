//! Incomplete answers (RFC 9111 §3.3): one part of the body of a 200, with the head that the whole would have.

use std::sync::Arc;

use bytes::Bytes;

use crate::entry::head::Head;
use crate::entry::stored::Entry;
use crate::fields::portion::Portion;
use crate::fields::range::Span;

/// A stored part of an answer.
#[derive(Debug, Clone)]
pub struct Incomplete(Arc<Stored>);

#[derive(Debug)]
struct Stored {
    entry: Entry,
    first: u64,
    length: u64,
}

impl Incomplete {
    /// A part, of at least one byte, that begins at `first` of `length` bytes.
    pub fn new(head: &Head, part: Bytes, first: u64, length: u64) -> Incomplete {
        Incomplete(Arc::new(Stored { entry: Entry::new(head, part), first, length }))
    }

    /// The head of the whole (200), with the part for a body.
    pub fn entry(&self) -> &Entry {
        &self.0.entry
    }

    /// Which bytes there are.
    pub fn portion(&self) -> Portion {
        let last = self.0.first + self.entry().body().len() as u64 - 1;
        Portion { span: Span { first: self.0.first, last }, length: self.0.length }
    }

    pub(super) fn weight(&self) -> usize {
        self.entry().weight() + size_of::<Stored>()
    }

    /// Those of its bytes that are in this span.
    pub fn slice(&self, span: Span) -> Bytes {
        let Portion { span: held, .. } = self.portion();
        match held.common(span) {
            Some(Span { first, last }) => {
                self.entry().body().slice((first - held.first) as usize..=(last - held.first) as usize)
            }
            None => Bytes::new(),
        }
    }
}
