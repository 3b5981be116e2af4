//! Facts come back as they were written, and other bytes are refused.

use super::*;
