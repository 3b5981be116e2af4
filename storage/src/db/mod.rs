//! store.redb: the derived, transactional view of a store's packs.
