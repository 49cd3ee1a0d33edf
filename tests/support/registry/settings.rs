//! What kind of registry it is.

/// How a registry behaves where registries differ.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a way in which registries differ, and all of them combine"
)]
pub struct Settings {
    pub access: Access,
    /// Whether there is a referrers API.
    pub referrers: bool,
    /// Whether a tag can be deleted.
    pub delete_tags: bool,
    /// Whether a manifest can be deleted by digest.
    pub delete_manifests: bool,
    /// Whether a manifest deleted by digest takes its tags along.
    pub delete_takes_tags: bool,
    /// Whether blobs are mounted across repositories.
    pub mounts: bool,
    /// Whether a manifest must find what it refers to.
    pub strict: bool,
    /// The most entries on a page of a list.
    pub page: usize,
    /// Whether pages are joined by `Link` headers, and by absolute ones.
    pub links: Links,
    /// The largest body of a request, above that 413.
    pub body_limit: Option<u64>,
    /// What is said to be the smallest piece of an upload.
    pub least_piece: Option<u64>,
    /// Whether an upload says how far it got, and can go on from there.
    pub resumable: bool,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Whether upload locations are absolute URLs.
    pub absolute_locations: bool,
    /// Where blobs are to be read: a redirect to this URL with the digest behind it.
    pub blobs_at: Option<String>,
}

/// How pages are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    None,
    Relative,
    Absolute,
}

/// Who may do what.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everyone everything.
    Open,
    /// Who knows name and password.
    Basic(String, String),
    /// Who has a token.
    Token(TokenServer),
}

/// A token server, at `/token` of the registry itself.
#[derive(Clone, Debug)]
pub struct TokenServer {
    pub username: String,
    pub password: String,
    /// The refresh token that is as good as the password.
    pub refresh_token: String,
    /// What the user may do in any repository.
    pub actions: Vec<String>,
    /// What everybody may do.
    pub anonymous: Vec<String>,
    /// How long a token is good for, in seconds.
    pub expires_in: f64,
    /// Whether GET and POST are known.
    pub get: bool,
    pub post: bool,
    /// The realm that is named, instead of the registry's own.
    pub realm: Option<String>,
}

impl Default for Settings {
    /// A registry of today that can do everything.
    fn default() -> Self {
        Self {
            access: Access::Open,
            referrers: true,
            delete_tags: true,
            delete_manifests: true,
            delete_takes_tags: true,
            mounts: true,
            strict: true,
            page: 1000,
            links: Links::Relative,
            body_limit: None,
            least_piece: None,
            resumable: true,
            read_only: false,
            absolute_locations: false,
            blobs_at: None,
        }
    }
}

impl Settings {
    /// As distribution's registry:2 behaves.
    pub fn distribution_2() -> Self {
        Self {
            referrers: false,
            delete_tags: false,
            resumable: false,
            absolute_locations: true,
            ..Self::default()
        }
    }

    /// As `crane registry serve` behaves.
    pub fn crane() -> Self {
        Self {
            referrers: false,
            delete_takes_tags: false,
            strict: false,
            mounts: false,
            links: Links::None,
            resumable: false,
            ..Self::default()
        }
    }
}

impl TokenServer {
    /// One that knows `me` with the password `pw` and the refresh token `rt`.
    pub fn new() -> Self {
        Self {
            username: "me".to_owned(),
            password: "pw".to_owned(),
            refresh_token: "rt".to_owned(),
            actions: ["pull", "push", "delete", "*"].map(str::to_owned).to_vec(),
            anonymous: Vec::new(),
            expires_in: 300.0,
            get: true,
            post: true,
            realm: None,
        }
    }
}
