//! Cookies by which well-known load balancers find the server that has a session: they say where to go, not who asks.
//!
//! Names that applications choose for something else as well are left out on purpose (`route`, `node`, `server`): who uses
//! one of those for this lists it in `identity.affinity_cookies`.

use crate::fields::glob::glob;

/// Whether a cookie of this name is one of them.
pub fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|pattern| glob(pattern, name)) && !signs_in_at_netscaler(name)
}

/// As patterns; a name may end in `*`.
const KNOWN: [&str; 35] = [
    // Azure: App Service and IIS's request routing, Application Gateway, Front Door
    "ARRAffinity",
    "ARRAffinitySameSite",
    "ApplicationGatewayAffinity",
    "ApplicationGatewayAffinityCORS",
    "ASLBSA",
    "ASLBSACORS",
    // AWS; `AWSELBAuthSessionCookie-0` signs in, and is none of these
    "AWSALB",
    "AWSALBCORS",
    "AWSALBAPP-*",
    "AWSALBTG",
    "AWSALBTGCORS",
    "AWSELB",
    "AWSELBCORS",
    // other clouds: Google, Oracle, Cloudflare, DigitalOcean, Hetzner
    "GCLB",
    "GCILB",
    "X-Oracle-BMC-LBS-Route",
    "__cflb",
    "DO-LB",
    "HCLBSTICKY",
    // HAProxy, Apache, nginx and its ingress
    "SERVERID",
    "SRVNAME",
    "ROUTEID",
    "INGRESSCOOKIE",
    "srv_id",
    "lb_cookie",
    // F5
    "BIGipServer*",
    "TS01*",
    // Citrix
    "NSC_*",
    "citrix_ns_id*",
    // Barracuda, Radware
    "BNI_persistence",
    "AlteonP",
    "AlteonPcgmh",
    // Imperva
    "visid_incap_*",
    "incap_ses_*",
    "nlbi_*",
];

/// NetScaler names its persistence cookies after the server, in code, and those by which it signs people in itself by four
/// capitals: `NSC_AAAC`, `NSC_TMAS`, `NSC_USER`.
fn signs_in_at_netscaler(name: &str) -> bool {
    let rest = name.strip_prefix("NSC_").unwrap_or("");
    rest.len() == 4 && rest.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_where_to_go_is_known_and_what_says_who_asks_is_not() {
        for name in [
            "ARRAffinity",
            "ARRAffinitySameSite",
            "SERVERID",
            "AWSALBAPP-0",
            "BIGipServer~Common~pool_clinic",
            "NSC_wt-xfc-443",
            "TS01a8b2c3",
            "incap_ses_1225_2447",
            "X-Oracle-BMC-LBS-Route",
        ] {
            assert!(is_known(name), "{name}");
        }
        for name in [
            "JSESSIONID",
            "sessionid",
            "session",
            "route",
            "serverid",
            "AWSELBAuthSessionCookie-0",
            "AWSALBAuthNonce",
            "NSC_AAAC",
            "NSC_TMAS",
            "MRHSession",
            "TS02",
            "",
            "\0",
        ] {
            assert!(!is_known(name), "{name}");
        }
    }
}
