//! Tags as the purge log sees them: hashes, and whether there were too many. Where they come from is of no matter here.

#[derive(Debug, Clone, Copy)]
pub struct TagHash(pub u32);

#[derive(Debug, Clone, Default)]
pub struct TagSet {
    hashes: Vec<TagHash>,
    overflowed: bool,
}

pub trait Tagged {
    fn tag_hashes(&self) -> impl Iterator<Item = TagHash>;
}

impl Tagged for TagSet {
    fn tag_hashes(&self) -> impl Iterator<Item = TagHash> {
        self.hashes.iter().copied()
    }
}

impl TagSet {
    pub fn of(hashes: &[u32]) -> TagSet {
        TagSet { hashes: hashes.iter().copied().map(TagHash).collect(), overflowed: false }
    }

    pub fn too_many() -> TagSet {
        TagSet { hashes: Vec::new(), overflowed: true }
    }

    pub fn hashes(&self) -> &[TagHash] {
        &self.hashes
    }

    pub fn overflowed(&self) -> bool {
        self.overflowed
    }
}
