//! What a customer writes about, by the words of `library/topics.txt`.

use crate::lexicon::Lexicon;
use crate::library::LibraryError;
use crate::normalize::Normalizer;

pub(crate) const FILE: (&str, &str) = ("topics.txt", include_str!("../library/topics.txt"));

/// More topics than this are not counted.
const MOST: usize = 32;

/// The words of the topics, compiled.
pub(crate) struct Topics {
    lexicon: Lexicon,
    names: Vec<&'static str>,
    /// The class that is no topic.
    none: Option<usize>,
}

impl Topics {
    pub(crate) fn embedded(normalizer: &Normalizer) -> Result<Topics, LibraryError> {
        let (lexicon, names) = Lexicon::parse(FILE.0, FILE.1, normalizer)?;
        let none = names.iter().position(|name| *name == "-").filter(|none| *none < MOST);
        Ok(Topics { lexicon, names, none })
    }

    /// The topic whose words weigh most; of equal ones the first of the file.
    pub(crate) fn of(&self, text: &str) -> Option<&'static str> {
        let mut weights = [0_u32; MOST];
        for found in self.lexicon.find(text) {
            if let Some(weight) = weights.get_mut(found.class) {
                *weight += found.weight;
            }
        }
        // The words of `-` only keep others from being read inside them.
        if let Some(none) = self.none {
            weights[none] = 0;
        }
        let most = *weights.iter().max().filter(|weight| **weight > 0)?;
        let topic = weights.iter().position(|weight| *weight == most)?;
        self.names.get(topic).copied()
    }

    /// The keys, in the order of the file.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().copied().filter(|name| *name != "-")
    }
}
