using Proxy.Documents.Formats;

namespace Proxy.Documents;

/// <summary>Reads the text of documents.</summary>
internal static class DocumentReader
{
    /// <summary>
    /// Reads a document. What the name's extension says is checked against the content. Throws <see cref="DocumentException"/> if it cannot be read.
    /// </summary>
    /// <param name="content">The whole file, seekable. Not disposed.</param>
    /// <param name="name">The file's name; only its extension matters.</param>
    /// <param name="cancellation">Ends the read with an <see cref="OperationCanceledException"/>.</param>
    public static DocumentText Read(Stream content, string name, CancellationToken cancellation) =>
        ReadGuard.Run(guard => Read(new GuardedStream(content, guard), name, guard), DocumentLimits.Stall, DocumentLimits.Total, cancellation);

    private static DocumentText Read(GuardedStream file, string name, ReadGuard guard)
    {
        file.Position = 0;
        var head = new byte[Math.Min(file.Length, FormatSniffer.HeadBytes)];
        file.ReadExactly(head);
        file.Position = 0;
        if (head.Length == 0) throw new DocumentException(DocumentFault.Empty, "the file is empty");
        var blocks = new BlockList(guard);
        var named = FormatNames.Of(name);
        // Of a PDF or an archive the content alone says what it is, whatever its name.
        if (FormatSniffer.IsPdf(head)) return PdfText.Read(file, blocks);
        if (FormatSniffer.IsZip(head)) return Archive(file, blocks);
        if (FormatSniffer.Other(head) is { } other) throw new DocumentException(DocumentFault.Unsupported, $"the file is {other}");
        if (named is DocumentFormat.Pdf or DocumentFormat.Word or DocumentFormat.Slides or DocumentFormat.Sheets or DocumentFormat.Epub)
            throw new DocumentException(DocumentFault.Invalid, $"the name ends in .{FormatNames.Extension(name)}, but the content is not of that format");
        var text = TextFile.Open(file, guard) ?? throw (named is DocumentFormat.Unknown or DocumentFormat.Other
            ? new DocumentException(DocumentFault.Unsupported, "the file holds binary data, or text of another encoding than UTF-8, UTF-16 or Windows-1252")
            : new DocumentException(
                DocumentFault.Invalid,
                $"the name ends in .{FormatNames.Extension(name)}, but the file holds binary data, or another encoding than UTF-8, UTF-16 or Windows-1252"));
        using var reader = text.Reader;
        Text(named, text, blocks);
        return blocks.Finish("the file holds no text");
    }

    private static DocumentText Archive(GuardedStream file, BlockList blocks)
    {
        using var package = PackageFile.Open(file, blocks.Guard);
        switch (package.Format)
        {
            case DocumentFormat.Word: WordText.Read(package, blocks); break;
            case DocumentFormat.Slides: SlideText.Read(package, blocks); break;
            case DocumentFormat.Sheets: SheetText.Read(package, blocks); break;
            case DocumentFormat.Epub: EpubText.Read(package, blocks); break;
            default: throw new DocumentException(DocumentFault.Unsupported, "the file is an archive (ZIP) of a format that is not read; unpack it first");
        }

        return blocks.Finish("the document holds no text");
    }

    private static void Text(DocumentFormat named, TextFile file, BlockList blocks)
    {
        switch (named)
        {
            case DocumentFormat.Markdown: MarkdownText.Read(file.Reader, blocks); break;
            case DocumentFormat.Html: HtmlText.Read(file.ReadAll(), blocks); break;
            case DocumentFormat.Json: JsonText.Read(file.ReadAll(), blocks); break;
            case DocumentFormat.JsonLines: JsonText.ReadLines(file.Reader, blocks); break;
            case DocumentFormat.Csv: CsvText.Read(file.Reader, null, blocks); break;
            case DocumentFormat.Tsv: CsvText.Read(file.Reader, '\t', blocks); break;
            case DocumentFormat.Code: CodeText.Read(file.Reader, blocks); break;
            default:
                if (FormatSniffer.IsHtml(file.Start)) HtmlText.Read(file.ReadAll(), blocks);
                else if (file.Start.StartsWith("#!", StringComparison.Ordinal)) CodeText.Read(file.Reader, blocks);
                else PlainText.Read(file.Reader, blocks);
                break;
        }
    }
}
