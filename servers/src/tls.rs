//! Certificates for servers that speak TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use crate::{Outcome, failure::Doing as _};

/// A certificate authority that nobody trusts unless told to.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A server's certificate with its key.
#[derive(Debug)]
pub struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn new() -> Outcome<Self> {
        let making = || "making a certificate authority".to_owned();
        let mut parameters = CertificateParams::new(Vec::new()).doing(making)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name.push(DnType::CommonName, "Cloakroom's authority for tests");
        let key = KeyPair::generate().doing(making)?;
        Ok(Self { issuer: CertifiedIssuer::self_signed(parameters, key).doing(making)? })
    }

    /// Its own certificate, for the file of authorities that a client trusts.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for 127.0.0.1 and `localhost`.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn issue(&self) -> Outcome<Identity> {
        self.issue_for(&["127.0.0.1", "localhost"])
    }

    /// Issues a certificate for these names and addresses.
    ///
    /// # Errors
    /// If a name is none.
    pub fn issue_for(&self, names: &[&str]) -> Outcome<Identity> {
        let issuing = || "issuing a certificate".to_owned();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().doing(issuing)?;
        let mut parameters = CertificateParams::new(names).doing(issuing)?;
        // A subject like the issuer's would make OpenSSL take the certificate for one that signed itself.
        parameters.distinguished_name.push(DnType::CommonName, "Cloakroom's server for tests");
        parameters.use_authority_key_identifier_extension = true;
        let certificate = parameters.signed_by(&key, &self.issuer).doing(issuing)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Identity {
    /// The certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// Its private key.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }
}
