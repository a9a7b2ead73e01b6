namespace Proxy.Documents;

/// <summary>What one document may cost. A document that exceeds a limit is refused with a message that names the limit.</summary>
internal static class DocumentLimits
{
    /// <summary>Characters (UTF-16 units) of text. A text file of 100 MB is below it.</summary>
    public const int TextLength = 128 << 20;

    /// <summary>Blocks of text, for example rows of a table.</summary>
    public const int Blocks = 4_000_000;

    /// <summary>Characters of one block. Longer ones are cut at white space, so that no later stage has to handle a line of 100 MB.</summary>
    public const int BlockLength = 16 << 10;

    /// <summary>Bytes of a file whose format has to be read as a whole: HTML and JSON.</summary>
    public const int WholeFile = 128 << 20;

    /// <summary>Characters of a heading; longer ones are cut.</summary>
    public const int HeadingLength = 300;

    /// <summary>Objects and arrays of JSON inside each other.</summary>
    public const int JsonDepth = 256;

    /// <summary>Elements of XML inside each other.</summary>
    public const int XmlDepth = 1_000;

    /// <summary>Files in an archive (DOCX, PPTX, XLSX, EPUB).</summary>
    public const int ArchiveEntries = 20_000;

    /// <summary>Bytes that an archive may unpack to, all files that are read of it together.</summary>
    public const long UnpackedBytes = 512 << 20;

    /// <summary>
    /// How many times its packed size a file of an archive may have, once it is larger than <see cref="RatioFreeBytes"/>. Office files reach 50.
    /// </summary>
    public const int CompressionRatio = 250;

    public const long RatioFreeBytes = 8 << 20;

    /// <summary>Columns of a table, as many as a sheet of Excel can have.</summary>
    public const int Columns = 16_384;

    /// <summary>Pages of a PDF.</summary>
    public const int Pages = 20_000;

    /// <summary>Bytes that the streams of a PDF may unpack to: one of them, and all together.</summary>
    public const long PdfStreamBytes = 256 << 20;

    public const long PdfUnpackedBytes = 4L << 30;

    /// <summary>Arrays, dictionaries and forms of a PDF inside each other.</summary>
    public const int PdfDepth = 256;

    /// <summary>The time in which a reader must have got a step further: a block, a page, a read of the file.</summary>
    public static readonly TimeSpan Stall = TimeSpan.FromSeconds(60);

    /// <summary>The time for a whole document.</summary>
    public static readonly TimeSpan Total = TimeSpan.FromMinutes(15);

    /// <summary>Readers that were given up on but still run, because nothing can stop a thread. With so many, no document is read.</summary>
    public const int LostReaders = 4;

    /// <summary>Bytes of a reader's stack. Readers do not recurse, except PdfPig, to a depth of <see cref="PdfDepth"/>.</summary>
    public const int StackBytes = 16 << 20;
}
