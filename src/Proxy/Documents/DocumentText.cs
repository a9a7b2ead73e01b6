namespace Proxy.Documents;

/// <summary>The text of a document, in reading order.</summary>
/// <param name="Title">The title that the document states of itself; null if it states none.</param>
/// <param name="Blocks">Paragraphs, list items, table rows, lines of code. Never empty for a document that was read.</param>
internal sealed record DocumentText(string? Title, IReadOnlyList<TextBlock> Blocks);

/// <summary>
/// A piece of a document that a chunk should not be cut inside of if it can be avoided: a paragraph, a list item, a table's row, a block of code.
/// </summary>
/// <param name="Text">Its text, without leading and trailing white space. Never empty.</param>
internal sealed record TextBlock(string Text)
{
    /// <summary>The headings above it, outermost first; empty outside of any heading.</summary>
    public IReadOnlyList<string> Headings { get; init; } = [];

    /// <summary>The page or slide, from 1; null if the format has none.</summary>
    public int? Page { get; init; }

    /// <summary>A block that is never joined with its neighbours by sentences: code, or a table's row.</summary>
    public bool IsVerbatim { get; init; }

    /// <summary>The column names that a table's row repeats where a chunk begins with it; null outside of tables.</summary>
    public string? TableHead { get; init; }
}

/// <summary>Why a document cannot be read. The message is for the person who uploaded it.</summary>
internal sealed class DocumentException(DocumentFault fault, string message, Exception? inner = null) : Exception(message, inner)
{
    public DocumentFault Fault => fault;
}

internal enum DocumentFault
{
    /// <summary>The format is not one that is read here.</summary>
    Unsupported,

    /// <summary>The file is damaged, encrypted, too large when unpacked, or not what its name says.</summary>
    Invalid,

    /// <summary>The file holds no text, for example scanned pages.</summary>
    Empty,

    /// <summary>It is not the file's fault: it can be read later.</summary>
    Busy,
}
