//! Where a random history takes its decisions from.
//!
//! Every decision is one number. Zero is always the dullest choice and a list that ran out answers
//! zero, so that a history shrinks by shortening and lowering a list of numbers.

/// A source of decisions that remembers what it gave.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    given: Option<Vec<u32>>,
    at: usize,
    seed: u64,
    taken: Vec<u32>,
}

impl Choices {
    /// Random decisions, always the same for a seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { given: None, at: 0, seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, taken: Vec::new() }
    }

    /// These decisions, then zeros.
    pub(crate) fn given(numbers: Vec<u32>) -> Self {
        Self { given: Some(numbers), at: 0, seed: 1, taken: Vec::new() }
    }

    /// What was decided so far.
    pub(crate) fn taken(&self) -> &[u32] {
        &self.taken
    }

    fn next(&mut self) -> u32 {
        let number = match &self.given {
            Some(numbers) => numbers.get(self.at).copied().unwrap_or(0),
            None => {
                self.seed ^= self.seed << 13;
                self.seed ^= self.seed >> 7;
                self.seed ^= self.seed << 17;
                u32::try_from(self.seed >> 40).expect("24 bits fit")
            }
        };
        self.at += 1;
        self.taken.push(number);
        number
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        if n <= 1 { 0 } else { self.next() as usize % n }
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.next() % 100 >= 100 - percent.min(100)
    }

    /// One of these, the first of them being the dullest.
    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A place, by weight; the first place is the dullest.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let all: u32 = weights.iter().sum();
        let mut left = self.next() % all.max(1);
        for (at, weight) in weights.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        0
    }
}
