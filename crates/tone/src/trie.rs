//! The patterns of the library, found by walking a trie from every character where one may begin.
//!
//! Most pairs of characters begin no pattern, which a bit tells, and a Latin word begins at its
//! first letter alone: few places are walked, no further than the longest pattern, and none waits
//! for another. One pass over the sorted patterns makes the trie, which failure links would make
//! several times as slow to build.

/// No pattern ends at a node.
const NONE: u32 = u32::MAX;

/// Bits of the filter of pairs: 16 KiB, which stay in the nearest cache.
const PAIRS: u32 = 17;

/// Up to so many children of a node are looked through one by one.
const FEW: usize = 8;

/// A character of a text with the byte at which it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    at: u32,
    c: char,
}

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
    /// By the character a pattern begins with: its node, or 0.
    roots: Vec<u32>,
    /// By the hash of the first two characters of a pattern: whether there is one.
    pairs: Vec<u64>,
}

/// Patterns that share their first `depth` bytes, still to be put under their node.
struct Branch {
    node: u32,
    depth: usize,
    from: usize,
    to: usize,
}

impl Trie {
    /// Patterns in ascending order, each once; a pattern's number is its place.
    pub(crate) fn new<P: AsRef<str>>(patterns: &[P]) -> Trie {
        let empty = Node { c: '\0', children: 0, count: 0, pattern: NONE };
        let mut trie =
            Trie { nodes: vec![empty], roots: Vec::new(), pairs: vec![0; 1 << (PAIRS - 6)] };
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
        trie.index();
        trie
    }

    /// Fills the tables of the first one and two characters.
    fn index(&mut self) {
        let Trie { nodes, roots, pairs } = self;
        for root in children(nodes, 0) {
            let first = nodes[root].c;
            roots.resize(roots.len().max(first as usize + 1), 0);
            roots[first as usize] = root as u32;
            for second in children(nodes, root) {
                let bit = pair(first, nodes[second].c);
                pairs[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    /// Every occurrence of a pattern, by start, of one start the longest first. Latin words and
    /// numbers are not cut out of longer ones. A text is far shorter than the 4 GiB up to which
    /// places count.
    pub(crate) fn find(&self, text: &str, places: &mut Vec<Place>, found: &mut Vec<Occurrence>) {
        places.clear();
        places.extend(text.char_indices().map(|(at, c)| Place { at: at as u32, c }));
        found.clear();
        let end_of = |at: usize| places.get(at + 1).map_or(text.len() as u32, |next| next.at);
        let mut within = false;
        for (first, place) in places.iter().enumerate() {
            let word = place.c.is_ascii_alphanumeric();
            let cut = word && within;
            within = word;
            let root = self.roots.get(place.c as usize).map_or(0, |root| *root as usize);
            if cut || root == 0 {
                continue;
            }
            let from = found.len();
            let mut node = &self.nodes[root];
            let mut last = first;
            loop {
                let next = places.get(last + 1);
                if node.pattern != NONE {
                    let goes_on = |next: &Place| next.c.is_ascii_alphanumeric();
                    let cut = places[last].c.is_ascii_alphanumeric() && next.is_some_and(goes_on);
                    if !cut {
                        let (start, end) = (place.at, end_of(last));
                        found.push(Occurrence { start, end, pattern: node.pattern });
                    }
                }
                let Some(next) = next else { break };
                if last == first && !self.begins(place.c, next.c) {
                    break;
                }
                let Some(child) = self.child(node, next.c) else { break };
                node = child;
                last += 1;
            }
            found[from..].reverse();
        }
    }

    /// Whether a pattern may begin with these two characters.
    fn begins(&self, first: char, second: char) -> bool {
        let bit = pair(first, second);
        self.pairs[bit / 64] & (1 << (bit % 64)) != 0
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

/// The bit of a pair of characters.
fn pair(first: char, second: char) -> usize {
    let both = (u64::from(first) << 21) | u64::from(second);
    (both.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PAIRS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a text, as it stands there.
    fn found<'t>(patterns: &[&str], text: &'t str) -> Vec<&'t str> {
        let (mut places, mut found) = (Vec::new(), Vec::new());
        Trie::new(patterns).find(text, &mut places, &mut found);
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
