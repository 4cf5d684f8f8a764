//! What proves to a registry who is asking: a password, an identity token, or a token of its own.
//!
//! Invariant: a [`Secret`] is never shown, neither by `Debug` nor in an error.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The user name that stands for an identity token (docker-credential-helpers, "Development").
pub(super) const TOKEN_USER: &str = "<token>";

/// Text that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub(in crate::store::registry) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is known of a user of one host or namespace.
#[derive(Clone, Debug)]
pub struct Login(Proof);

#[derive(Clone, Debug)]
enum Proof {
    /// User name and secret. The name is hidden too: robots' names tell as much as some secrets.
    Password { user: Secret, secret: Secret },
    /// Traded for tokens at the realm by OAuth2; the registry itself never sees it.
    Identity { user: Secret, token: Secret },
    /// Sent to the registry as it is.
    Bearer(Secret),
}

impl Login {
    /// A user name with a password or an access token.
    pub fn new(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self(Proof::Password { user: Secret::new(user), secret: Secret::new(secret) })
    }

    /// An identity token (OAuth2: a refresh token). The user name only counts at token servers that
    /// do not know OAuth2; it may be empty.
    pub fn identity(user: impl Into<String>, token: impl Into<String>) -> Self {
        Self(Proof::Identity { user: Secret::new(user), token: Secret::new(token) })
    }

    /// A token of the registry's own, which is sent as it is (`registrytoken` in Docker's files).
    pub fn bearer(token: impl Into<String>) -> Self {
        Self(Proof::Bearer(Secret::new(token)))
    }

    /// As a credential helper answers; nothing where it has neither name nor secret.
    pub(super) fn of_helper(user: &str, secret: &str) -> Option<Self> {
        match (user, secret) {
            (_, "") => None,
            (TOKEN_USER, token) => Some(Self::identity(TOKEN_USER, token)),
            (user, secret) => Some(Self::new(user, secret)),
        }
    }

    /// User name and secret as a credential helper stores them; nothing for what it cannot hold.
    pub(super) fn for_helper(&self) -> Option<(&str, &str)> {
        match &self.0 {
            Proof::Password { user, secret } => Some((user.reveal(), secret.reveal())),
            Proof::Identity { token, .. } => Some((TOKEN_USER, token.reveal())),
            Proof::Bearer(_) => None,
        }
    }

    /// The value of a `Basic` authorization, without the scheme, where there is a password.
    pub(in crate::store::registry) fn basic(&self) -> Option<Secret> {
        match &self.0 {
            Proof::Password { user, secret } => Some(encoded(user, secret)),
            _ => None,
        }
    }

    /// The identity token, where it is one.
    pub(in crate::store::registry) fn identity_token(&self) -> Option<&Secret> {
        match &self.0 {
            Proof::Identity { token, .. } => Some(token),
            _ => None,
        }
    }

    /// The identity token as a password, for a token server that does not know OAuth2.
    pub(in crate::store::registry) fn identity_as_basic(&self) -> Option<Secret> {
        match &self.0 {
            Proof::Identity { user, token } if user.reveal().is_empty() => {
                Some(encoded(&Secret::new(TOKEN_USER), token))
            }
            Proof::Identity { user, token } => Some(encoded(user, token)),
            _ => None,
        }
    }

    /// The registry's own token, where it is one.
    pub(in crate::store::registry) fn own_token(&self) -> Option<&Secret> {
        match &self.0 {
            Proof::Bearer(token) => Some(token),
            _ => None,
        }
    }

    /// What must not show up in a message.
    pub(in crate::store::registry) fn secrets(&self) -> Vec<Secret> {
        match &self.0 {
            Proof::Password { user, secret } => vec![secret.clone(), encoded(user, secret)],
            Proof::Identity { token, .. } => {
                [Some(token.clone()), self.identity_as_basic()].into_iter().flatten().collect()
            }
            Proof::Bearer(token) => vec![token.clone()],
        }
    }

    #[cfg(test)]
    pub(super) fn user(&self) -> &str {
        match &self.0 {
            Proof::Password { user, .. } | Proof::Identity { user, .. } => user.reveal(),
            Proof::Bearer(_) => "",
        }
    }
}

fn encoded(user: &Secret, secret: &Secret) -> Secret {
    Secret::new(STANDARD.encode(format!("{}:{}", user.reveal(), secret.reveal())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c26_a_helpers_answer_is_a_password_a_token_or_nothing() {
        assert_eq!(Login::of_helper("ann", "x").unwrap().basic().unwrap().reveal(), STANDARD.encode("ann:x"));
        let token = Login::of_helper("<token>", "t0ken").unwrap();
        assert_eq!(token.identity_token().unwrap().reveal(), "t0ken");
        assert!(token.basic().is_none(), "an identity token is no password");
        assert!(Login::of_helper("", "").is_none() && Login::of_helper("ann", "").is_none());
    }

    #[test]
    fn no_login_is_shown() {
        for login in
            [Login::new("ann", "hunter2"), Login::identity("ann", "hunter2"), Login::bearer("hunter2")]
        {
            let shown = format!("{login:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("ann"), "{shown}");
            assert!(login.secrets().iter().any(|s| s.reveal() == "hunter2"));
        }
    }
}
