//! A print of what an agent says, by which the conversation fold, which sees no text, knows a reply
//! that is said again.

use std::num::NonZeroU32;

/// Shorter texts say the same by chance: 好的, "of course".
const LEAST_LETTERS: usize = 8;

/// Hash of the letters of a text, small ones, without what differs from one saying to the next:
/// digits, punctuation, spaces, emoji. `None` if there are few of them.
///
/// The conversation is the key, so that nobody can follow a text, or a customer, from one
/// conversation to another by what the fold keeps.
pub(crate) fn print(conversation_id: &str, text: &str) -> Option<NonZeroU32> {
    let letters: String =
        text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    if letters.chars().take(LEAST_LETTERS).count() < LEAST_LETTERS {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(conversation_id.len() as u64).to_le_bytes());
    hasher.update(conversation_id.as_bytes()).update(letters.as_bytes());
    let mut print = [0; 4];
    print.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    // One text in 2^32 has no print.
    NonZeroU32::new(u32::from_le_bytes(print))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_digits_signs_and_case_alone_is_the_same() {
        let of = |text| print("c1", text);
        assert!(of("您的订单正在处理中，请耐心等待！").is_some());
        assert_eq!(
            of("您的订单 1001 正在处理中，请耐心等待！"),
            of("您的订单2002正在处理中 请耐心等待😊")
        );
        assert_eq!(of("Your order is on its way."), of("YOUR ORDER is on its way"));
        assert_ne!(of("您的订单正在处理中，请耐心等待"), of("您的退款正在处理中，请耐心等待"));
    }

    #[test]
    fn a_short_text_has_none() {
        assert_eq!(print("c1", "好的，请稍等 123456789"), None);
        assert_eq!(print("c1", ""), None);
    }

    #[test]
    fn the_same_text_of_two_conversations_has_two() {
        let text = "您的订单正在处理中，请耐心等待";
        assert_ne!(print("c1", text), print("c2", text));
    }
}
