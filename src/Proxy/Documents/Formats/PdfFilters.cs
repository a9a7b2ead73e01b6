using System.IO.Compression;
using UglyToad.PdfPig.Filters;
using UglyToad.PdfPig.Tokens;

namespace Proxy.Documents.Formats;

/// <summary>PdfPig's decoders, with limits on what they unpack to, because PdfPig has none.</summary>
internal sealed class PdfFilters(ReadGuard guard) : IFilterProvider
{
    private readonly Dictionary<IFilter, BoundedFilter> bounded = [];
    private long unpacked;

    public IReadOnlyList<IFilter> GetFilters(DictionaryToken dictionary) => Bounded(DefaultFilterProvider.Instance.GetFilters(dictionary));

    public IReadOnlyList<IFilter> GetNamedFilters(IReadOnlyList<NameToken> names) => Bounded(DefaultFilterProvider.Instance.GetNamedFilters(names));

    public IReadOnlyList<IFilter> GetAllFilters() => Bounded(DefaultFilterProvider.Instance.GetAllFilters());

    private IFilter[] Bounded(IReadOnlyList<IFilter> filters)
    {
        var list = new IFilter[filters.Count];
        for (var i = 0; i < list.Length; i++)
        {
            if (!bounded.TryGetValue(filters[i], out var filter)) bounded[filters[i]] = filter = new(filters[i], this);
            list[i] = filter;
        }

        return list;
    }

    private void Count(long bytes)
    {
        guard.Step();
        if (bytes > DocumentLimits.PdfStreamBytes)
            throw new DocumentException(DocumentFault.Invalid, $"a part of the PDF unpacks to more than {DocumentLimits.PdfStreamBytes >> 20} MB");
        if (unpacked + bytes > DocumentLimits.PdfUnpackedBytes)
            throw new DocumentException(DocumentFault.Invalid, $"the PDF unpacks to more than {DocumentLimits.PdfUnpackedBytes >> 20} MB");
    }

    private sealed class BoundedFilter(IFilter inner, PdfFilters owner) : IFilter
    {
        public bool IsSupported => inner.IsSupported;

        public Memory<byte> Decode(Memory<byte> input, DictionaryToken streamDictionary, IFilterProvider filterProvider, int filterIndex)
        {
            // Deflate reaches 1:1000, so it is measured before PdfPig unpacks it into memory. The others stay below 1:70 or work within what they are given.
            if (inner is FlateFilter) Measure(input);
            var output = inner.Decode(input, streamDictionary, filterProvider, filterIndex);
            owner.Count(output.Length);
            owner.unpacked += output.Length;
            return output;
        }

        private void Measure(Memory<byte> input)
        {
            var buffer = new byte[32 << 10];
            long size = 0;
            try
            {
                using var packed = new MemoryStream(input.ToArray(), writable: false);
                using var stream = new ZLibStream(packed, CompressionMode.Decompress);
                for (int n; (n = stream.Read(buffer)) > 0;) owner.Count(size += n);
            }
            catch (InvalidDataException)
            {
                // PdfPig decides what to do with a damaged stream.
            }
        }
    }
}
