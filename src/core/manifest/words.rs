//! Messages about faults of a YAML document, in the terms of manifest authors.
//!
//! No value is quoted: it may be a password.

use serde_saphyr::granit_parser::ErrorKind;

/// The fault, and what to write instead.
#[expect(
    clippy::too_many_lines,
    reason = "a table of the parser's words and ours"
)]
pub(super) fn plain(kind: &ErrorKind) -> &'static str {
    use ErrorKind as E;
    match kind {
        E::UnexpectedEofFlowSequence | E::UnclosedFlowCollection { open: '[' } => {
            "the [ is not closed: a ] is missing"
        }
        E::UnexpectedEofFlowMapping
        | E::UnexpectedEofImplicitFlowMapping
        | E::UnclosedFlowCollection { .. } => "the { is not closed: a } is missing",
        E::MisplacedFlowCollectionEnd => {
            "a ] or } closes nothing; put a text that contains it in quotes"
        }
        E::MismatchedFlowCollectionEnd { .. } => "a [ is closed by } or a { is closed by ]",
        E::ExpectedFlowMappingSeparator => "a , or } is missing before this",
        E::ExpectedFlowSequenceSeparator => "a , or ] is missing before this",
        E::BlockEntryInFlowCollection | E::PlainScalarStartsWithDashFlowIndicator => {
            "a list within [ ] or { } is written with commas, not with -"
        }
        E::FlowMappingValueAdjacentCollection | E::InvalidColonPlacement => {
            "a : stands where no value may begin; is a ] or } missing before it?"
        }
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabAtBlockScalarStart
        | E::TabInIndentation
        | E::TabInPlainScalar => "a tab stands where YAML allows only spaces; indent with spaces",
        E::InvalidIndentation
        | E::InvalidBlockScalarIndent
        | E::InvalidQuotedScalarIndent
        | E::InvalidFlowScalarIndent
        | E::ExpectedBlockMappingKey
        | E::ExpectedBlockSequenceEntry
        | E::BlockSequenceEntryNotAllowed
        | E::InvalidBlockEntryWhitespace
        | E::InvalidMappingValueWhitespace => {
            "the indentation does not fit the lines above; indent entries of one map or list alike"
        }
        E::MappingValueNotAllowed | E::MappingKeyNotAllowed => {
            "a second \": \" in one line, or a line that is indented too far; put a text that contains \": \" in quotes"
        }
        E::SimpleKeyExpected
        | E::InvalidSimpleKey
        | E::UnexpectedEofBlockMapping
        | E::UnexpectedEofBlockSequence => {
            "this line is neither \"key: value\" nor an entry of a list; is a : missing?"
        }
        E::UnclosedQuotedScalar => "the quote is not closed",
        E::DocumentIndicatorInQuotedScalar => "a quote is not closed before --- or ...",
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            "text follows a closing quote; put the whole value in quotes"
        }
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => {
            "a \\ within double quotes begins no character that YAML knows; write \\\\ for a backslash"
        }
        E::ZeroBlockScalarIndent | E::InvalidBlockScalarHeader => {
            "only -, + or a digit may follow the | or > that begins a text of several lines"
        }
        E::UnknownAnchor => {
            "an alias (*) names an anchor (&) that is not defined before it; put a text that begins with * in quotes"
        }
        E::MissingAnchorOrAliasName => {
            "a name is missing after & or *; put a text that begins with & or * in quotes"
        }
        E::AnchorCountOverflow => "the document has too many anchors (&)",
        E::UndeclaredTagHandle
        | E::ExpectedTagBang
        | E::InvalidGlobalTagCharacter
        | E::InvalidTagTerminator
        | E::MissingTagUri
        | E::UnclosedVerbatimTag
        | E::InvalidTagEscape
        | E::InvalidTagUtf8LeadingByte
        | E::InvalidTagUtf8TrailingByte
        | E::InvalidTagUtf8 => "this is not a valid tag; put a text that begins with ! in quotes",
        E::MissingDocumentEndBeforeDirective => {
            "a directive (a line that begins with %) follows a document without a line ... between them; delete it"
        }
        E::DuplicateVersionDirective
        | E::UnsupportedYamlMajorVersion
        | E::DuplicateTagDirective
        | E::ExpectedTagDirectiveBang
        | E::InvalidDirectiveTerminator
        | E::DirectiveDisallowed
        | E::MissingYamlVersionSeparator
        | E::MissingDirectiveName
        | E::InvalidDirectiveName
        | E::DirectiveByteLimitExceeded { .. }
        | E::TooManyReservedDirectiveParams { .. }
        | E::YamlVersionTooLong
        | E::MissingYamlVersion
        | E::InvalidTagDirectiveTerminator => {
            "the directive (a line that begins with %) is not valid; delete it"
        }
        E::ExpectedDocumentStart | E::MultipleDocumentsUnsupported | E::InvalidDocumentEnd => {
            "text follows the end of the document; write --- on a line of its own between two documents"
        }
        E::BomInsideDocument => {
            "a byte order mark stands in the middle of the file; delete this invisible character"
        }
        E::UnexpectedCharacter { .. } => {
            "a text cannot begin with this character, or the file cannot contain it; put the text in quotes"
        }
        E::CommentInterceptedScalar => "a comment stands in the middle of a text of several lines",
        E::CommentNotSeparated | E::ExpectedWhitespace => {
            "a space is missing; put a text that contains # or : in quotes"
        }
        E::RecursionLimitExceeded => TOO_DEEP,
        _ => "this is not valid YAML",
    }
}

pub(super) const TOO_DEEP: &str = "lists and maps are nested too deep";
pub(super) const OWN_ALIAS: &str = "an anchor (&) contains an alias (*) of itself";
pub(super) const BOMB: &str = "the aliases (*) of this document repeat too many values; kubectl refuses it too. Write the values out";
pub(super) const COMPLEX_KEY: &str =
    "a map or a list cannot be a key; put a text that begins with { or [ in quotes";
pub(super) const NOT_MERGEABLE: &str = "the value of << is not a map";
pub(super) const TOO_LARGE: &str = "the file has more than 4 GiB";
