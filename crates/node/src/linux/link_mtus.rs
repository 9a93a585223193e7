//! The MTUs of interfaces, as far as announcements tell, to notice when one changes. Pure.

use std::collections::BTreeMap;

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

/// The most interfaces that are remembered. Those beyond are compared with each reading only.
const MOST: usize = 4096;

/// The last MTU of each interface that is up, by index.
#[derive(Debug, Default)]
pub(super) struct LinkMtus(BTreeMap<u32, u32>);

impl LinkMtus {
    /// Begins with the interfaces that there are.
    pub(super) fn new(interfaces: impl IntoIterator<Item = (u32, u32)>) -> Self {
        Self(interfaces.into_iter().take(MOST).collect())
    }

    /// Takes in what is announced about an interface, and tells whether its MTU is another one than before.
    /// One that is new may get its MTU only after it was made, as those of containers do: it counts from
    /// when it is up.
    pub(super) fn note_link(&mut self, link: &LinkMessage) -> bool {
        let mtu = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        let (index, Some(mtu)) = (link.header.index, mtu) else { return false };
        if let Some(known) = self.0.get_mut(&index) {
            return std::mem::replace(known, mtu) != mtu;
        }
        if link.header.flags.contains(LinkFlags::Up) && self.0.len() < MOST {
            self.0.insert(index, mtu);
        }
        false
    }

    /// Forgets an interface that is gone.
    pub(super) fn forget_link(&mut self, index: u32) {
        self.0.remove(&index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, mtu: Option<u32>, is_up: bool) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = if is_up { LinkFlags::Up } else { LinkFlags::empty() };
        link.attributes = mtu.map(LinkAttribute::Mtu).into_iter().collect();
        link
    }

    #[test]
    fn only_another_mtu_of_a_known_interface_is_news() {
        let mut mtus = LinkMtus::new([(2, 1500)]);
        assert!(!mtus.note_link(&link(2, Some(1500), true)));
        assert!(!mtus.note_link(&link(2, None, true)));
        assert!(mtus.note_link(&link(2, Some(1400), true)));
        assert!(!mtus.note_link(&link(2, Some(1400), false)));
        assert!(mtus.note_link(&link(2, Some(1500), false)));
    }

    #[test]
    fn containers_that_come_and_go_are_no_news_and_take_no_memory() {
        let mut mtus = LinkMtus::new([]);
        for index in 10..20_000 {
            assert!(!mtus.note_link(&link(index, Some(1500), false)));
            assert!(!mtus.note_link(&link(index, Some(1450), false)), "before it is up");
            assert!(!mtus.note_link(&link(index, Some(1450), true)));
            mtus.forget_link(index);
        }
        assert_eq!(mtus.0.len(), 0);
        for index in 0..20_000 {
            assert!(!mtus.note_link(&link(index, Some(1500), true)));
        }
        assert_eq!(mtus.0.len(), MOST);
    }
}
