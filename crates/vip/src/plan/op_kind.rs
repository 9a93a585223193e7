//! The kinds of operations: their names for machines, and their signs for people.

use super::Op;
use crate::Sign;

/// The kind of an [`Op`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the operation of the same name")]
pub enum OpKind {
    SetTable,
    AddElement,
    DeleteElement,
    DeleteTable,
    InsertRule,
    DeleteRule,
    CreateLink,
    RaiseLink,
    SetTimeouts,
    AddService,
    SetService,
    SetServer,
    AddServer,
    Bind,
    Rebind,
    SetRoute,
    ForgetFlows,
    DeleteServer,
    DeleteService,
    Unbind,
    DeleteLink,
}

impl OpKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 21] = [
        Self::SetTable,
        Self::AddElement,
        Self::DeleteElement,
        Self::DeleteTable,
        Self::InsertRule,
        Self::DeleteRule,
        Self::CreateLink,
        Self::RaiseLink,
        Self::SetTimeouts,
        Self::AddService,
        Self::SetService,
        Self::SetServer,
        Self::AddServer,
        Self::Bind,
        Self::Rebind,
        Self::SetRoute,
        Self::ForgetFlows,
        Self::DeleteServer,
        Self::DeleteService,
        Self::Unbind,
        Self::DeleteLink,
    ];

    /// Returns the name for machines: in logs, `vipd events` and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SetTable => "set-table",
            Self::AddElement => "add-element",
            Self::DeleteElement => "delete-element",
            Self::DeleteTable => "delete-table",
            Self::InsertRule => "insert-rule",
            Self::DeleteRule => "delete-rule",
            Self::CreateLink => "create-link",
            Self::RaiseLink => "raise-link",
            Self::SetTimeouts => "set-timeouts",
            Self::AddService => "add-service",
            Self::SetService => "set-service",
            Self::SetServer => "set-server",
            Self::AddServer => "add-server",
            Self::Bind => "bind",
            Self::Rebind => "rebind",
            Self::SetRoute => "set-route",
            Self::ForgetFlows => "forget-flows",
            Self::DeleteServer => "delete-server",
            Self::DeleteService => "delete-service",
            Self::Unbind => "unbind",
            Self::DeleteLink => "delete-link",
        }
    }

    /// Finds a kind by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the sign to print before such an operation.
    #[must_use]
    pub fn sign(self) -> Sign {
        match self {
            Self::CreateLink
            | Self::AddService
            | Self::AddServer
            | Self::Bind
            | Self::InsertRule => Sign::Add,
            Self::DeleteLink
            | Self::DeleteService
            | Self::DeleteServer
            | Self::Unbind
            | Self::DeleteRule
            | Self::DeleteTable => Sign::Remove,
            // An element of a set changes how a VIP is served; it isn't a thing of its own.
            Self::AddElement
            | Self::DeleteElement
            | Self::SetTable
            | Self::RaiseLink
            | Self::SetTimeouts
            | Self::SetService
            | Self::SetServer
            | Self::Rebind
            | Self::SetRoute
            | Self::ForgetFlows => Sign::Change,
        }
    }
}

impl Op {
    /// Returns the kind of the operation.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        match self {
            Self::SetTable { .. } => OpKind::SetTable,
            Self::AddElement { .. } => OpKind::AddElement,
            Self::DeleteElement { .. } => OpKind::DeleteElement,
            Self::DeleteTable { .. } => OpKind::DeleteTable,
            Self::InsertRule { .. } => OpKind::InsertRule,
            Self::DeleteRule { .. } => OpKind::DeleteRule,
            Self::CreateLink => OpKind::CreateLink,
            Self::RaiseLink => OpKind::RaiseLink,
            Self::SetTimeouts { .. } => OpKind::SetTimeouts,
            Self::AddService { .. } => OpKind::AddService,
            Self::SetService { .. } => OpKind::SetService,
            Self::SetServer { .. } => OpKind::SetServer,
            Self::AddServer { .. } => OpKind::AddServer,
            Self::Bind { .. } => OpKind::Bind,
            Self::Rebind { .. } => OpKind::Rebind,
            Self::SetRoute { .. } => OpKind::SetRoute,
            Self::ForgetFlows { .. } => OpKind::ForgetFlows,
            Self::DeleteServer { .. } => OpKind::DeleteServer,
            Self::DeleteService { .. } => OpKind::DeleteService,
            Self::Unbind { .. } => OpKind::Unbind,
            Self::DeleteLink => OpKind::DeleteLink,
        }
    }

    /// Returns the operation's name for machines.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Returns the sign to print before the operation.
    #[must_use]
    pub fn sign(&self) -> Sign {
        self.kind().sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation with its sign in logs and `vipd events`.
    const SIGNS: [(OpKind, char); OpKind::ALL.len()] = [
        (OpKind::CreateLink, '+'),
        (OpKind::RaiseLink, '~'),
        (OpKind::DeleteLink, '-'),
        (OpKind::AddService, '+'),
        (OpKind::SetService, '~'),
        (OpKind::DeleteService, '-'),
        (OpKind::AddServer, '+'),
        (OpKind::SetServer, '~'),
        (OpKind::DeleteServer, '-'),
        (OpKind::Bind, '+'),
        (OpKind::Rebind, '~'),
        (OpKind::SetRoute, '~'),
        (OpKind::Unbind, '-'),
        (OpKind::SetTable, '~'),
        (OpKind::DeleteTable, '-'),
        (OpKind::AddElement, '~'),
        (OpKind::DeleteElement, '~'),
        (OpKind::InsertRule, '+'),
        (OpKind::DeleteRule, '-'),
        (OpKind::SetTimeouts, '~'),
        (OpKind::ForgetFlows, '~'),
    ];

    #[test]
    fn every_operation_has_its_sign() {
        for (kind, sign) in SIGNS {
            assert_eq!(kind.sign().as_char(), sign, "{kind:?}");
        }
    }

    #[test]
    fn every_operation_is_listed_and_found_by_its_name() {
        for (place, kind) in OpKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{kind:?} in the order of declaration");
            assert_eq!(OpKind::from_name(kind.name()), Some(kind));
            assert!(SIGNS.iter().any(|(listed, _)| *listed == kind), "{kind:?}");
        }
        assert_eq!(OpKind::from_name("label"), None);
    }
}
