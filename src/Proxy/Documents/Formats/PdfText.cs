using UglyToad.PdfPig;
using UglyToad.PdfPig.Content;
using UglyToad.PdfPig.DocumentLayoutAnalysis.TextExtractor;
using UglyToad.PdfPig.Exceptions;

namespace Proxy.Documents.Formats;

/// <summary>Reads PDF, page by page.</summary>
internal static class PdfText
{
    /// <summary>The share of undecodable characters, or of pages with lost text, above which a document is refused.</summary>
    private const double NoiseShare = .2;

    /// <summary>Characters a page below which it counts as one without text, for example with only a stamp over a scanned page.</summary>
    private const int BarePage = 5;

    private const string WhyEmpty =
        "the PDF has no text, only pictures (it was probably scanned); run OCR on it first, for example with ocrmypdf";

    private const string WhyNoise =
        "most of the PDF's text cannot be decoded: its fonts do not say which characters their glyphs are, or need the Chinese, Japanese or Korean character"
            + " maps that"
        + " are not included; export it again with a text layer, or convert it to text";

    public static DocumentText Read(GuardedStream file, BlockList blocks)
    {
        var pages = new List<PdfPage>();
        using (var pdf = Open(file, blocks.Guard))
        {
            if (pdf.NumberOfPages > DocumentLimits.Pages)
                throw new DocumentException(DocumentFault.Invalid, $"the PDF has more than {DocumentLimits.Pages:N0} pages");
            if (pdf.NumberOfPages == 0) throw new DocumentException(DocumentFault.Invalid, "the file is damaged: the PDF has no pages");
            blocks.Title = Title(pdf);
            long length = 0;
            for (var number = 1; number <= pdf.NumberOfPages; number++)
            {
                blocks.Guard.Step();
                var page = Page(pdf, number);
                pages.Add(page);
                length += page.Length;
                if (length > DocumentLimits.TextLength)
                    throw new DocumentException(DocumentFault.Invalid, $"the PDF has more than {DocumentLimits.TextLength >> 20} million characters of text");
            }
        }

        RefuseNoise(pages);
        PdfPage.DropRepeated(pages);
        foreach (var page in pages)
        {
            blocks.Page = page.Number;
            foreach (var paragraph in page.Paragraphs()) blocks.Add(paragraph);
        }

        return blocks.Finish(WhyEmpty);
    }

    private static PdfDocument Open(GuardedStream file, ReadGuard guard)
    {
        Windows1252Provider.Register();
        try
        {
            return PdfDocument.Open(file, new ParsingOptions
            {
                UseLenientParsing = true, SkipMissingFonts = true, MaxStackDepth = DocumentLimits.PdfDepth, FilterProvider = new PdfFilters(guard),
            });
        }
        catch (PdfDocumentEncryptedException locked)
        {
            throw new DocumentException(DocumentFault.Invalid, "the PDF is encrypted; save it without a password", locked);
        }
    }

    private static string? Title(PdfDocument pdf)
    {
        try
        {
            var title = pdf.Information.Title?.Trim();
            // What word processors write when there is no title.
            var isNone = string.IsNullOrEmpty(title) || title.StartsWith("Microsoft Word", StringComparison.Ordinal) || title is "untitled" or "Untitled";
            return isNone ? null : title;
        }
        catch (Exception damaged) when (damaged is not (DocumentException or OperationCanceledException or OutOfMemoryException))
        {
            // PdfPig throws anything on a damaged file; the title is not worth the document.
            return null;
        }
    }

    /// <summary>A page. One that is damaged is left out if others can be read.</summary>
    private static PdfPage Page(PdfDocument pdf, int number)
    {
        try
        {
            var page = pdf.GetPage(number);
            return new(number, ContentOrderTextExtractor.GetText(page, true)) { HasLostText = HasLostText(page) };
        }
        catch (Exception damaged) when (damaged is not (DocumentException or OperationCanceledException or OutOfMemoryException))
        {
            // PdfPig throws anything on a damaged page.
            return new(number, "") { Damage = damaged };
        }
    }

    /// <summary>
    /// Whether the page shows text of which hardly any letters came out: PdfPig leaves out text whose font it cannot load, for example because it needs a
    /// character map that is not there.
    /// </summary>
    private static bool HasLostText(Page page)
    {
        var shown = page.Operations.Count(static operation => operation.Operator is "Tj" or "TJ" or "'" or "\"");
        return shown > 0 && page.Letters.Count * 2 < shown;
    }

    private static void RefuseNoise(List<PdfPage> pages)
    {
        long noise = pages.Sum(static page => page.Noise), all = pages.Sum(static page => page.Visible);
        var damaged = pages.Count(static page => page.Damage is not null);
        if (noise > all * NoiseShare || pages.Count(static page => page.HasLostText) > pages.Count * NoiseShare)
            throw new DocumentException(DocumentFault.Invalid, WhyNoise);
        if (damaged * 2 > pages.Count || (damaged > 0 && all == 0))
        {
            var first = pages.First(static page => page.Damage is not null).Damage!;
            throw new DocumentException(
                DocumentFault.Invalid, $"{damaged} of the PDF's {pages.Count} pages cannot be read, the first one because of: {first.Message}", first);
        }

        if (all <= BarePage * (long)pages.Count && all < 1000) throw new DocumentException(DocumentFault.Empty, WhyEmpty);
    }
}
