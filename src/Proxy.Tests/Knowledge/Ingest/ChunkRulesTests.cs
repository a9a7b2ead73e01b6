using Proxy.Documents;
using Proxy.Knowledge.Ingest;
using Proxy.Vectors;

namespace Proxy.Tests.Knowledge.Ingest;

public sealed class ChunkRulesTests
{
    [Theory]
    [InlineData(254, null, null, 215, 32)] // auto: 0.85 of the window, 15 % overlap
    [InlineData(8190, null, null, 800, 120)] // as long as OpenAI's auto, although the model reads more
    [InlineData(254, 200, 50, 200, 50)]
    [InlineData(254, 800, 400, 254, 127)] // cut to the window, and the overlap to half of that
    [InlineData(254, 800, 0, 254, 0)]
    [InlineData(254, 100, null, 100, 15)]
    public void Limits_AreCutToTheWindow(int window, int? tokens, int? overlap, int expected, int repeated) =>
        Assert.Equal(new ChunkLimits(expected, repeated), ChunkRules.Of(window, tokens, overlap));

    [Fact]
    public void Window_IsThatOfTheSmallestModel_WithoutWhatTheModelAdds()
    {
        var small = new VectorModelInfo("small", VectorModelKind.Embed) { MaxInputLength = 256 };
        var prompted = new VectorModelInfo("prompted", VectorModelKind.Embed) { MaxInputLength = 256, Prompts = ["document"] };
        var silent = new VectorModelInfo("silent", VectorModelKind.Embed) { MaxInputLength = int.MaxValue };

        Assert.Equal(254, ChunkRules.Window([small]));
        Assert.Equal(254, ChunkRules.Window([silent, small]));
        Assert.Equal(240, ChunkRules.Window([small, prompted]));
        Assert.Equal(510, ChunkRules.Window([silent]));
        Assert.Equal(510, ChunkRules.Window([null]));
        Assert.Equal(254, ChunkRules.Window([]));
    }
}
