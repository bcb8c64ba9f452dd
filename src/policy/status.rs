//! What a status says about keeping its answers.

use http::StatusCode;

/// The statuses whose meaning for caches we know (RFC 9111 §5.2.2.3): those of RFC 9110 and of the documents named below.
/// 206 and 304 are not among them: they are parts of another answer.
const UNDERSTOOD: [u16; 48] = [
    200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409,
    410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506,
    508, 511,
];

/// RFC 6585 §3 to §6: "MUST NOT be stored by a cache".
const NEVER: [u16; 4] = [428, 429, 431, 511];

/// RFC 9110 §15.1, less 206.
const HEURISTICALLY_CACHEABLE: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Whether we know what its answers mean to a cache.
pub fn is_understood(status: StatusCode) -> bool {
    UNDERSTOOD.contains(&status.as_u16())
}

/// Whether its answers may be kept with a lifetime that the origin gives (RFC 9111 §3): all final ones, known or not.
pub fn is_storable(status: StatusCode) -> bool {
    let code = status.as_u16();
    (200..600).contains(&code) && !NEVER.contains(&code) && !matches!(code, 206 | 304)
}

/// Whether it says that something is wrong with the request, and so perhaps with that one alone: a field that is too long, a method
/// that a field names, a type that nobody else asks for. Kept for others it would shut them out.
pub fn is_about_the_request(status: StatusCode) -> bool {
    ABOUT_THE_REQUEST.contains(&status.as_u16())
}

const ABOUT_THE_REQUEST: [u16; 16] = [400, 405, 406, 408, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 431];

/// Whether its answers may have a lifetime that is guessed.
pub fn is_heuristically_cacheable(status: StatusCode) -> bool {
    HEURISTICALLY_CACHEABLE.contains(&status.as_u16())
}

/// Whether its answers take a named policy's `ttl`.
pub fn lives_by_policy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 301 | 308)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9111_3_every_final_status_may_be_kept_save_parts_and_those_that_say_no() {
        for code in 100..=999 {
            let status = StatusCode::from_u16(code).unwrap();
            let want = (200..=599).contains(&code) && ![206, 304, 428, 429, 431, 511].contains(&code);
            assert_eq!(is_storable(status), want, "{code}");
            assert!(!is_heuristically_cacheable(status) || is_understood(status), "{code}");
            assert!(!lives_by_policy(status) || is_heuristically_cacheable(status), "{code}");
        }
    }

    #[test]
    fn rfc9111_5_2_2_3_what_is_understood_is_one_list() {
        for (code, want) in
            [(200, true), (404, true), (503, true), (206, false), (299, false), (499, false), (599, false)]
        {
            assert_eq!(is_understood(StatusCode::from_u16(code).unwrap()), want, "{code}");
        }
        assert!(UNDERSTOOD.is_sorted());
    }
}
