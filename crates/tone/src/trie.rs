//! The patterns of the library, found by walking a trie from every character where one may begin.
//!
//! Most pairs of characters begin no pattern, which a bit tells, and a Latin word begins at its
//! first letter alone: few places are walked, no further than the longest pattern, and none waits
//! for another. One pass over the sorted patterns makes the trie, which failure links would make
//! several times as slow to build.

use crate::normalize::Letter;

/// No pattern ends at a node: one more is 0.
const NONE: u32 = u32::MAX;

/// Bits of the filter of pairs, as a power of 2: 16 KiB, which stay in the nearest cache.
const FILTER: u32 = 17;

/// Bits of the number of a node in the table of pairs.
const NODE: u32 = 22;

/// Up to so many children of a node are looked through one by one.
const FEW: usize = 8;

/// A pattern found in a text, by bytes. Small: a message has many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occurrence {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) pattern: u32,
}

/// What is reached by one more character.
#[derive(Clone, Copy, Debug)]
struct Node {
    c: char,
    /// The first of its children, which lie side by side in the order of their characters.
    children: u32,
    count: u32,
    /// The pattern that ends here, or [`NONE`].
    pattern: u32,
}

/// Numbered patterns, none of them empty.
pub(crate) struct Trie {
    nodes: Vec<Node>,
    /// By character: one more than the pattern that is nothing but it, or 0. Most of the memory
    /// is never touched.
    alone: Vec<u32>,
    /// By the hash of two characters: whether a pattern may begin with them.
    filter: Vec<u64>,
    /// By the same hash, or the next free place: the two characters and their node. The children
    /// of a first character are many, and most of them are asked for once.
    pairs: Vec<u64>,
    /// Bits of a hash that are no place in the table.
    shift: u32,
}

/// Patterns that share their first `depth` bytes, still to be put under their node.
struct Branch {
    node: u32,
    depth: usize,
    from: usize,
    to: usize,
}

impl Trie {
    /// Patterns in ascending order, each once; a pattern's number is its place. `None` if they have
    /// more than four million characters that are not shared.
    pub(crate) fn new<P: AsRef<str>>(patterns: &[P]) -> Option<Trie> {
        let empty = Node { c: '\0', children: 0, count: 0, pattern: NONE };
        let mut trie = Trie {
            nodes: vec![empty],
            alone: Vec::new(),
            filter: vec![0; 1 << (FILTER - 6)],
            pairs: Vec::new(),
            shift: 0,
        };
        let mut open = vec![Branch { node: 0, depth: 0, from: 0, to: patterns.len() }];
        while let Some(Branch { node, depth, mut from, to }) = open.pop() {
            if from < to && patterns[from].as_ref().len() == depth {
                trie.nodes[node as usize].pattern = from as u32;
                from += 1;
            }
            let (children, branches) = (trie.nodes.len(), open.len());
            while from < to {
                let next = |at: usize| patterns[at].as_ref()[depth..].chars().next();
                let Some(c) = next(from) else { break };
                let same = patterns[from..to].iter();
                let same = same.take_while(|one| one.as_ref()[depth..].starts_with(c)).count();
                let child = trie.nodes.len() as u32;
                trie.nodes.push(Node { c, ..empty });
                open.push(Branch {
                    node: child,
                    depth: depth + c.len_utf8(),
                    from,
                    to: from + same,
                });
                from += same;
            }
            // The branch that is next on the stack is the first, so that a chain lies in a row.
            open[branches..].reverse();
            let count = trie.nodes.len() - children;
            let parent = &mut trie.nodes[node as usize];
            (parent.children, parent.count) = (children as u32, count as u32);
        }
        (trie.nodes.len() <= 1 << NODE).then(|| trie.index())
    }

    /// Fills the tables of the first one and two characters.
    fn index(mut self) -> Trie {
        let Trie { nodes, alone, filter, pairs, shift } = &mut self;
        let count: u32 = children(nodes, 0).map(|root| nodes[root].count).sum();
        // A quarter full, a table seldom has two that want the same place.
        let places = (4 * count as usize).next_power_of_two();
        *shift = 64 - places.trailing_zeros().max(1);
        *pairs = vec![0; places.max(2)];
        let last = children(nodes, 0).last().map_or('\0', |root| nodes[root].c);
        *alone = vec![0; last as usize + 1];
        for root in children(nodes, 0) {
            let first = nodes[root].c;
            alone[first as usize] = nodes[root].pattern.wrapping_add(1);
            for second in children(nodes, root) {
                let both = pair(first, nodes[second].c);
                let bit = hash(both) >> (64 - FILTER);
                filter[bit as usize / 64] |= 1 << (bit % 64);
                let mut at = (hash(both) >> *shift) as usize;
                while pairs[at] != 0 {
                    at = (at + 1) % pairs.len();
                }
                pairs[at] = (both << NODE) | second as u64;
            }
        }
        self
    }

    /// Every occurrence of a pattern, by start, of one start the longest first. Latin words and
    /// numbers are not cut out of longer ones. A text is far shorter than the 4 GiB up to which
    /// places count.
    pub(crate) fn find(&self, letters: &[Letter], found: &mut Vec<Occurrence>) {
        found.clear();
        let mut within = false;
        let mut rest = letters;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            let word = is_word(first.c);
            let cut = word && within;
            within = word;
            if cut {
                continue;
            }
            let from = found.len();
            let mut put = |pattern: u32, last: &Letter, next: Option<&Letter>| {
                let cut = is_word(last.c) && next.is_some_and(|next| is_word(next.c));
                let (start, end) = (first.at, last.at + last.c.len_utf8() as u32);
                found.push(Occurrence { start, end, pattern });
                // Whether a pattern ends here cannot be foretold; to take it back needs no branch.
                found.truncate(found.len() - usize::from(pattern == NONE || cut));
            };
            let alone = self.alone.get(first.c as usize).map_or(0, |more| *more);
            put(alone.wrapping_sub(1), first, after.first());
            let Some((mut last, mut after)) = after.split_first() else { break };
            let mut node = self.pair(first.c, last.c);
            while let Some(one) = node {
                put(one.pattern, last, after.first());
                let Some((next, behind)) = after.split_first() else { break };
                node = self.child(one, next.c);
                (last, after) = (next, behind);
            }
            if found.len() > from + 1 {
                found[from..].reverse();
            }
        }
    }

    /// What is reached by two characters.
    fn pair(&self, first: char, second: char) -> Option<&Node> {
        let both = pair(first, second);
        let hash = hash(both);
        let bit = hash >> (64 - FILTER);
        if self.filter[bit as usize / 64] & (1 << (bit % 64)) == 0 {
            return None;
        }
        let mut at = (hash >> self.shift) as usize;
        while self.pairs[at] != 0 {
            if self.pairs[at] >> NODE == both {
                return Some(&self.nodes[(self.pairs[at] & ((1 << NODE) - 1)) as usize]);
            }
            at = (at + 1) % self.pairs.len();
        }
        None
    }

    fn child(&self, node: &Node, c: char) -> Option<&Node> {
        let children = &self.nodes[node.children as usize..][..node.count as usize];
        if children.len() <= FEW {
            return children.iter().find(|child| child.c == c);
        }
        children.binary_search_by_key(&c, |child| child.c).ok().map(|at| &children[at])
    }
}

fn children(nodes: &[Node], of: usize) -> std::ops::Range<usize> {
    let first = nodes[of].children as usize;
    first..first + nodes[of].count as usize
}

/// Whether a character is part of a Latin word or a number; told at once of most that are not.
fn is_word(c: char) -> bool {
    c.is_ascii() && c.is_ascii_alphanumeric()
}

/// Two characters as one number of 42 bits, never 0: no pattern begins with two of those.
fn pair(first: char, second: char) -> u64 {
    (u64::from(first) << 21) | u64::from(second)
}

fn hash(pair: u64) -> u64 {
    pair.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a text, as it stands there.
    fn found<'t>(patterns: &[&str], text: &'t str) -> Vec<&'t str> {
        let letter = |(at, c)| Letter { c, at: at as u32, start: 0, end: 0 };
        let letters: Vec<Letter> = text.char_indices().map(letter).collect();
        let mut found = Vec::new();
        Trie::new(patterns).unwrap().find(&letters, &mut found);
        let words: Vec<&str> =
            found.iter().map(|one| &text[one.start as usize..one.end as usize]).collect();
        let numbered = found.iter().map(|one| patterns[one.pattern as usize]);
        assert!(numbered.eq(words.iter().copied()));
        words
    }

    #[test]
    fn overlapping_patterns_are_found_by_start_and_the_longest_first() {
        let patterns = ["不", "不满", "不满意", "意", "满意"];
        assert_eq!(found(&patterns, "很不满意"), ["不满意", "不满", "不", "满意", "意"]);
        assert_eq!(found(&patterns, "满不满"), ["不满", "不"]);
        assert!(found(&patterns, "").is_empty());
        assert!(found(&[], "不").is_empty());
    }

    #[test]
    fn latin_words_and_numbers_stand_alone() {
        let patterns = ["12315", "a b", "b", "rude", "rude了"];
        assert_eq!(
            found(&patterns, "rude了crude rudely 112315 12315"),
            ["rude了", "rude", "12315"]
        );
        assert_eq!(found(&patterns, "a bc a b"), ["a b", "b"]);
    }

    #[test]
    fn a_node_may_have_more_children_than_are_looked_through() {
        let patterns: Vec<String> = ('一'..).take(40).map(|c| format!("不{c}")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        for pattern in &patterns {
            assert_eq!(found(&patterns, pattern), [*pattern]);
        }
        assert!(found(&patterns, "不好").is_empty());
    }
}
